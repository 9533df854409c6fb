// cosine_map: cosine similarity of patch tokens, to a marked patch of the same
// image or patch by patch between two feature maps.
//
//   cosine_to:      out[b, i] = cos(a[b, i], a[b, marked[b]])
//   cosine_between: out[b, i] = cos(a[b, i], c[b, i])
//   cos(x, y) = x . y / max(|x| |y|, 1e-24), so 0 where either is zero
//
// Input:  a [B, T, D] with `prefix` tokens before its patches; c [B, T', D] with
//         `other_prefix`; marked [B], the patch's index from 0; f32 and u32.
// Output: out [B, P].
//
// One workgroup takes 8 patches, 32 invocations to each. The entry points ending
// in 4 read four values at a time and need D to be a multiple of 4.

struct Params {
    images: u32,
    tokens: u32,
    dim: u32,
    prefix: u32,
    base: u32,
    out_base: u32,
    other_tokens: u32,
    other_prefix: u32,
    other_base: u32,
    // Images before the first one, to find its entry of `marked`.
    first_image: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> a4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(2) var<storage, read_write> c4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> marked: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

const LANES: u32 = 32u;
const ROWS: u32 = 8u;

// x . y, x . x and y . y.
var<workgroup> partial: array<vec3<f32>, 256>;

// Adds up the 32 partial sums of a row; every invocation must call it.
fn sum_of_row(value: vec3<f32>, local: vec3<u32>) -> vec3<f32> {
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

fn finish(row: u32, inside: bool, sums: vec3<f32>, local: vec3<u32>) {
    if inside && local.x == 0u {
        out[params.out_base + row] = sums.x / max(sqrt(sums.y) * sqrt(sums.z), 1e-24);
    }
}

fn patches() -> u32 {
    return params.tokens - params.prefix;
}

fn start_of(row: u32) -> u32 {
    let token = (row / patches()) * params.tokens + params.prefix + row % patches();
    return params.base + token * params.dim;
}

fn start_of_marked(row: u32) -> u32 {
    let image = row / patches();
    let token = image * params.tokens + params.prefix + marked[params.first_image + image];
    return params.base + token * params.dim;
}

fn start_of_other(row: u32) -> u32 {
    let token = (row / patches()) * params.other_tokens + params.other_prefix + row % patches();
    return params.other_base + token * params.dim;
}

// WGSL cannot pass a buffer to a function, so every pair of buffers has its own
// entry point.
@compute @workgroup_size(32, 8)
fn cosine_to(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * ROWS + local.y;
    let inside = row < params.images * patches();
    var sums = vec3<f32>(0.0);
    if inside {
        let start = start_of(row);
        let other = start_of_marked(row);
        for (var d = local.x; d < params.dim; d = d + LANES) {
            let x = a[start + d];
            let y = a[other + d];
            sums = sums + vec3<f32>(x * y, x * x, y * y);
        }
    }
    let total = sum_of_row(sums, local);
    finish(row, inside, total, local);
}

@compute @workgroup_size(32, 8)
fn cosine_to4(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * ROWS + local.y;
    let inside = row < params.images * patches();
    var sums = vec3<f32>(0.0);
    if inside {
        let start = start_of(row) / 4u;
        let other = start_of_marked(row) / 4u;
        for (var d = local.x; d < params.dim / 4u; d = d + LANES) {
            let x = a4[start + d];
            let y = a4[other + d];
            sums = sums + vec3<f32>(dot(x, y), dot(x, x), dot(y, y));
        }
    }
    let total = sum_of_row(sums, local);
    finish(row, inside, total, local);
}

@compute @workgroup_size(32, 8)
fn cosine_between(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * ROWS + local.y;
    let inside = row < params.images * patches();
    var sums = vec3<f32>(0.0);
    if inside {
        let start = start_of(row);
        let other = start_of_other(row);
        for (var d = local.x; d < params.dim; d = d + LANES) {
            let x = a[start + d];
            let y = c[other + d];
            sums = sums + vec3<f32>(x * y, x * x, y * y);
        }
    }
    let total = sum_of_row(sums, local);
    finish(row, inside, total, local);
}

@compute @workgroup_size(32, 8)
fn cosine_between4(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * ROWS + local.y;
    let inside = row < params.images * patches();
    var sums = vec3<f32>(0.0);
    if inside {
        let start = start_of(row) / 4u;
        let other = start_of_other(row) / 4u;
        for (var d = local.x; d < params.dim / 4u; d = d + LANES) {
            let x = a4[start + d];
            let y = c4[other + d];
            sums = sums + vec3<f32>(dot(x, y), dot(x, x), dot(y, y));
        }
    }
    let total = sum_of_row(sums, local);
    finish(row, inside, total, local);
}
