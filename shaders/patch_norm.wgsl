// patch_norm: L2 norm of every patch token.
//
//   norms[b, i] = sqrt(sum_d tokens[b, prefix + i, d]^2)
//
// Input:  tokens [B, T, D], f32; the first `prefix` tokens of an image (class,
//         registers) are skipped.
// Output: norms [B, P] with P = T - prefix.
//
// One workgroup takes ROWS patches, LANES invocations to each.

#import reduce
#import spread
#import token_batch
#import values

struct Params {
    batch: TokenBatch,
}

@group(0) @binding(0) var<uniform> params: Params;
// Tensors are bound as read_write although they are only read: several tensors
// may share one buffer, which a dispatch must not bind in two ways.
@group(0) @binding(1) var<storage, read_write> tokens: array<Value>;
@group(0) @binding(2) var<storage, read_write> norms: array<f32>;

#host ROWS
const LANES: u32 = 32u;
const WORKGROUP: u32 = ROWS * LANES;

alias Partial = f32;

fn combine(a: Partial, b: Partial) -> Partial {
    return a + b;
}

@compute @workgroup_size(LANES, ROWS)
fn patch_norm(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let row = piece_of(group, groups) * ROWS + local.y;
    let inside = row < params.batch.images * params.batch.patches;
    var sum = 0.0;
    if inside {
        let image = row / params.batch.patches;
        let start = patch_start(params.batch, image, row % params.batch.patches) / WIDTH;
        for (var d = local.x; d < params.batch.dim / WIDTH; d = d + LANES) {
            let value = tokens[start + d];
            sum = sum + product(value, value);
        }
    }
    let total = reduce(sum, index);
    if inside && local.x == 0u {
        norms[params.batch.out_base + row] = sqrt(total);
    }
}
