// swiglu: one half of a hidden layer gates the other.
//
//   out[r, j] = silu(x[r, j]) x[r, N + j] with silu(a) = a / (1 + exp(-a))
//
// Input:  x [R, 2 N], f32, N a multiple of 4.
// Output: out [R, N], which must not overlap the input.

#import activation
#import spread

struct Params {
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

#host WORKGROUP

@compute @workgroup_size(WORKGROUP)
fn swiglu(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let columns4 = params.columns / 4u;
    let at = piece_of(group, groups) * WORKGROUP + lane;
    if at >= params.rows * columns4 {
        return;
    }
    let row = at / columns4;
    out[at] = silu(x[row * columns4 + at]) * x[row * columns4 + at + columns4];
}
