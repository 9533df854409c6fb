// unfold: the pixels of every patch as a row, for a linear layer to embed.
//
//   out[b, prefix + i] = the 3 p^2 pixels of patch i: plane by plane, row by row
//   out[b, t] = 0 for the first `prefix` tokens
//
// Input:  image [B, 3, H, W], f32, H and W multiples of p.
// Output: out [B, T, 3 p^2] with T = prefix + H W / p^2; 3 p^2 a multiple of 4.

#import spread

struct Params {
    images: u32,
    prefix: u32,
    height: u32,
    width: u32,
    patch_size: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

#host WORKGROUP

// Pixel `inner` of a patch of image `b`.
fn pixel(b: u32, patch_index: u32, inner: u32) -> f32 {
    let side = params.patch_size;
    let across = params.width / side;
    let plane = inner / (side * side);
    let row = (patch_index / across) * side + (inner / side) % side;
    let column = (patch_index % across) * side + inner % side;
    return image[((b * 3u + plane) * params.height + row) * params.width + column];
}

@compute @workgroup_size(WORKGROUP)
fn unfold(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let side = params.patch_size;
    let patches = (params.height / side) * (params.width / side);
    let tokens = params.prefix + patches;
    let row4 = 3u * side * side / 4u;
    let at = piece_of(group, groups) * WORKGROUP + lane;
    if at >= params.images * tokens * row4 {
        return;
    }
    let token = (at / row4) % tokens;
    var values = vec4<f32>(0.0);
    if token >= params.prefix {
        let b = at / row4 / tokens;
        let index = token - params.prefix;
        let inner = 4u * (at % row4);
        values = vec4<f32>(
            pixel(b, index, inner),
            pixel(b, index, inner + 1u),
            pixel(b, index, inner + 2u),
            pixel(b, index, inner + 3u),
        );
    }
    out[at] = values;
}
