// layer_norm: normalises every token over its channels.
//
//   out[r] = (x[r] - mean(x[r])) / sqrt(var(x[r]) + epsilon) * gamma + beta
//
// Input:  x [R, D], gamma [D], beta [D], f32, D a multiple of 4; the variance is
//         that of the whole row (over D, not D - 1).
// Output: out [R, D].
//
// One workgroup takes ROWS rows, LANES invocations to each. The variance is summed
// from the differences to the mean, in a second pass: artifact tokens have channels so
// far from the others that the one-pass form loses them to cancellation.

#import reduce
#import spread

struct Params {
    rows: u32,
    dim: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gamma: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> beta: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

#host ROWS
const LANES: u32 = 8u;
const WORKGROUP: u32 = ROWS * LANES;

alias Partial = f32;

fn combine(a: Partial, b: Partial) -> Partial {
    return a + b;
}

@compute @workgroup_size(LANES, ROWS)
fn layer_norm(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let row = piece_of(group, groups) * ROWS + local.y;
    let inside = row < params.rows;
    let dim4 = params.dim / 4u;
    let start = row * dim4;
    var sum = 0.0;
    if inside {
        for (var d = local.x; d < dim4; d = d + LANES) {
            sum = sum + dot(x[start + d], vec4<f32>(1.0));
        }
    }
    let mean = reduce(sum, index) / f32(params.dim);
    sum = 0.0;
    if inside {
        for (var d = local.x; d < dim4; d = d + LANES) {
            let difference = x[start + d] - vec4<f32>(mean);
            sum = sum + dot(difference, difference);
        }
    }
    // Orders the reads of the first sum before the writes of the second.
    workgroupBarrier();
    let variance = reduce(sum, index) / f32(params.dim);
    if inside {
        let scale = 1.0 / sqrt(variance + params.epsilon);
        for (var d = local.x; d < dim4; d = d + LANES) {
            out[start + d] = (x[start + d] - vec4<f32>(mean)) * scale * gamma[d] + beta[d];
        }
    }
}
