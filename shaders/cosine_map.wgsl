// cosine_map: cosine similarity of patch tokens, to a marked patch of the same
// image or, with the flag `between`, patch by patch between two feature maps.
//
//   out[b, i] = cos(a[b, i], a[b, marked[b]])
//   out[b, i] = cos(a[b, i], c[b, i])                       between
//   cos(x, y) = x . y / max(|x| |y|, 1e-24), so 0 where either is zero
//
// Input:  a [B, T, D] with `prefix` tokens before its patches; c [B, T', D] with
//         its own prefix; marked [B], the patch's index from 0; f32 and u32.
// Output: out [B, P].
//
// One workgroup takes ROWS patches, LANES invocations to each.

#import reduce
#import spread
#import token_batch
#import values

struct Params {
    a: TokenBatch,
    c: TokenBatch,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<Value>;
#ifdef between
@group(0) @binding(2) var<storage, read_write> c: array<Value>;
#else
@group(0) @binding(3) var<storage, read_write> marked: array<u32>;
#endif
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

#host ROWS
const LANES: u32 = 32u;
const WORKGROUP: u32 = ROWS * LANES;

// x . y, x . x and y . y.
alias Partial = vec3<f32>;

fn combine(a: Partial, b: Partial) -> Partial {
    return a + b;
}

#ifdef between
fn other_start(image: u32, patch_index: u32) -> u32 {
    return patch_start(params.c, image, patch_index);
}

fn other_at(index: u32) -> Value {
    return c[index];
}
#else
fn other_start(image: u32, patch_index: u32) -> u32 {
    return patch_start(params.a, image, marked[params.a.first_image + image]);
}

fn other_at(index: u32) -> Value {
    return a[index];
}
#endif

@compute @workgroup_size(LANES, ROWS)
fn cosine_map(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let row = piece_of(group, groups) * ROWS + local.y;
    let inside = row < params.a.images * params.a.patches;
    var sums = vec3<f32>(0.0);
    if inside {
        let image = row / params.a.patches;
        let patch_index = row % params.a.patches;
        let start = patch_start(params.a, image, patch_index) / WIDTH;
        let other = other_start(image, patch_index) / WIDTH;
        for (var d = local.x; d < params.a.dim / WIDTH; d = d + LANES) {
            let x = a[start + d];
            let y = other_at(other + d);
            sums = sums + vec3<f32>(product(x, y), product(x, x), product(y, y));
        }
    }
    let total = reduce(sums, index);
    if inside && local.x == 0u {
        out[params.a.out_base + row] = total.x / max(sqrt(total.y) * sqrt(total.z), 1e-24);
    }
}
