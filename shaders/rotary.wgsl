// rotary: turns the queries and keys of patch tokens by their positions, in place.
//
//   x[c]         = x[c] cos[i, c] - x[c + d/2] sin[i, c]
//   x[c + d/2]   = x[c + d/2] cos[i, c + d/2] + x[c] sin[i, c + d/2]
//
// for c < d/2 and patch i; class and register tokens, the first `prefix`, and all
// values stay as they are. Where `interleaved` is not 0, the pairs are 2 c and 2 c + 1.
//
// Input:  qkv [B, T, 3, H, d], sin [P, d], cos [P, d], f32, P = T - prefix, d even.
// Output: qkv.

#import spread

struct Params {
    images: u32,
    tokens: u32,
    prefix: u32,
    heads: u32,
    head_dim: u32,
    interleaved: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(2) var<storage, read_write> sines: array<f32>;
@group(0) @binding(3) var<storage, read_write> cosines: array<f32>;

#host WORKGROUP

@compute @workgroup_size(WORKGROUP)
fn rotary(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let half = params.head_dim / 2u;
    let patches = params.tokens - params.prefix;
    // One pair of channels of a query or a key.
    let pair = piece_of(group, groups) * WORKGROUP + lane;
    if pair >= params.images * patches * 2u * params.heads * half {
        return;
    }
    var c = pair % half;
    var apart = half;
    if params.interleaved != 0u {
        c = 2u * c;
        apart = 1u;
    }
    // Heads of the queries, then of the keys.
    let head = (pair / half) % (2u * params.heads);
    let patch_index = (pair / half / (2u * params.heads)) % patches;
    let b = pair / half / (2u * params.heads) / patches;
    let token = b * params.tokens + params.prefix + patch_index;
    let at = (token * 3u * params.heads + head) * params.head_dim + c;
    let angle = patch_index * params.head_dim + c;
    let left = qkv[at];
    let right = qkv[at + apart];
    qkv[at] = left * cosines[angle] - right * sines[angle];
    qkv[at + apart] = right * cosines[angle + apart] + left * sines[angle + apart];
}
