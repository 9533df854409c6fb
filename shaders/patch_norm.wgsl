// patch_norm: L2 norm of every patch token.
//
//   norms[b, i] = sqrt(sum_d tokens[b, prefix + i, d]^2)
//
// Input:  tokens [B, T, D], f32; the first `prefix` tokens of an image (class,
//         registers) are skipped.
// Output: norms [B, P] with P = T - prefix.
//
// One workgroup takes 8 patches, 32 invocations to each. `patch_norm4` reads
// four values at a time and needs D to be a multiple of 4.

struct Params {
    images: u32,
    tokens: u32,
    dim: u32,
    prefix: u32,
    // Elements of the bound buffer before the first image.
    base: u32,
    // Elements of `norms` before the first result.
    out_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Tensors are bound as read_write although they are only read: several tensors
// may share one buffer, which a dispatch must not bind in two ways.
@group(0) @binding(1) var<storage, read_write> tokens: array<f32>;
@group(0) @binding(1) var<storage, read_write> tokens4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> norms: array<f32>;

const LANES: u32 = 32u;
const ROWS: u32 = 8u;

var<workgroup> partial: array<f32, 256>;

// Adds up the 32 partial sums of a row; every invocation must call it.
fn sum_of_row(value: f32, local: vec3<u32>) -> f32 {
    let slot = local.y * LANES + local.x;
    partial[slot] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step = step / 2u) {
        if local.x < step {
            partial[slot] = partial[slot] + partial[slot + step];
        }
        workgroupBarrier();
    }
    return partial[local.y * LANES];
}

// First element of the token that belongs to a patch, counted over all images.
fn start_of(row: u32) -> u32 {
    let patches = params.tokens - params.prefix;
    let token = (row / patches) * params.tokens + params.prefix + row % patches;
    return params.base + token * params.dim;
}

@compute @workgroup_size(32, 8)
fn patch_norm(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * ROWS + local.y;
    let inside = row < params.images * (params.tokens - params.prefix);
    var sum = 0.0;
    if inside {
        let start = start_of(row);
        for (var d = local.x; d < params.dim; d = d + LANES) {
            let value = tokens[start + d];
            sum = sum + value * value;
        }
    }
    let total = sum_of_row(sum, local);
    if inside && local.x == 0u {
        norms[params.out_base + row] = sqrt(total);
    }
}

@compute @workgroup_size(32, 8)
fn patch_norm4(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * ROWS + local.y;
    let inside = row < params.images * (params.tokens - params.prefix);
    var sum = 0.0;
    if inside {
        let start = start_of(row) / 4u;
        for (var d = local.x; d < params.dim / 4u; d = d + LANES) {
            let value = tokens4[start + d];
            sum = sum + dot(value, value);
        }
    }
    let total = sum_of_row(sum, local);
    if inside && local.x == 0u {
        norms[params.out_base + row] = sqrt(total);
    }
}
