// linear: a linear layer with what follows it.
//
//   linear:          out[r] = f(x[r] W + b)
//   linear_residual: out[r] = residual[r mod S] + g * (x[r] W + b)
//
// Input:  x [R, K], W [K, N], b [N], g [N] (LayerScale's gain, else ones),
//         residual [S, N], f32, K and N multiples of 4.
// Output: out [R, N], which must not overlap an input.
//
// f by `activation`: 0 none, 1 GELU, 2 GELU by its tanh form, 3 x sigmoid(1.702 x).
//
// `linear_half` and `linear_residual_half` are the same with W stored as f16, which
// needs no feature of the device: the products and sums stay f32.
//
// One workgroup takes 32 rows and 64 columns; an invocation 8 rows of 4 columns.

struct Params {
    rows: u32,
    inner: u32,
    columns: u32,
    activation: u32,
    residual_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight_half: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> gain: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> residual: array<vec4<f32>>;

const ROWS: u32 = 32u;
const DEPTH: u32 = 16u;
const LANES: u32 = 64u;
// Vectors of four along the depth, and along the columns.
const DEPTH_GROUPS: u32 = 4u;
const COLUMN_GROUPS: u32 = 16u;

// A slice of x, [ROWS, DEPTH_GROUPS].
var<workgroup> x_tile: array<vec4<f32>, 128>;
// A slice of W, [DEPTH, COLUMN_GROUPS].
var<workgroup> weight_tile: array<vec4<f32>, 256>;

// What an invocation computes: four columns of eight rows, one vector a row.
struct Sums {
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    row3: vec4<f32>,
    row4: vec4<f32>,
    row5: vec4<f32>,
    row6: vec4<f32>,
    row7: vec4<f32>,
}

fn times(values: vec4<f32>, weights: mat4x4<f32>) -> vec4<f32> {
    return values.x * weights[0] + values.y * weights[1] + values.z * weights[2] + values.w * weights[3];
}

fn load_x(first: u32, k0: u32, lane: u32) {
    let inner4 = params.inner / 4u;
    let k = k0 / 4u + lane % DEPTH_GROUPS;
    for (var half = 0u; half < 2u; half = half + 1u) {
        let row = first + lane / DEPTH_GROUPS + 16u * half;
        var values = vec4<f32>(0.0);
        if row < params.rows && k < inner4 {
            values = x[row * inner4 + k];
        }
        x_tile[lane + LANES * half] = values;
    }
}

// Where in W an element of the tile stands; beyond its end for none.
fn weight_index(first_column: u32, k0: u32, slot: u32) -> u32 {
    let line = k0 + slot / COLUMN_GROUPS;
    let column = first_column + slot % COLUMN_GROUPS;
    let columns4 = params.columns / 4u;
    return select(params.inner * columns4, line * columns4 + column, line < params.inner && column < columns4);
}

fn load_weight(first_column: u32, k0: u32, lane: u32) {
    for (var slot = lane; slot < DEPTH * COLUMN_GROUPS; slot = slot + LANES) {
        let at = weight_index(first_column, k0, slot);
        var values = vec4<f32>(0.0);
        if at < params.inner * (params.columns / 4u) {
            values = weight[at];
        }
        weight_tile[slot] = values;
    }
}

fn load_weight_half(first_column: u32, k0: u32, lane: u32) {
    for (var slot = lane; slot < DEPTH * COLUMN_GROUPS; slot = slot + LANES) {
        let at = weight_index(first_column, k0, slot);
        var values = vec4<f32>(0.0);
        if at < params.inner * (params.columns / 4u) {
            let packed = weight_half[at];
            values = vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
        }
        weight_tile[slot] = values;
    }
}

fn add_product(so_far: Sums, lane: u32) -> Sums {
    var sums = so_far;
    for (var g = 0u; g < DEPTH_GROUPS; g = g + 1u) {
        let line = 4u * g * COLUMN_GROUPS + lane % COLUMN_GROUPS;
        let weights = mat4x4<f32>(
            weight_tile[line],
            weight_tile[line + COLUMN_GROUPS],
            weight_tile[line + 2u * COLUMN_GROUPS],
            weight_tile[line + 3u * COLUMN_GROUPS],
        );
        let at = 8u * (lane / COLUMN_GROUPS) * DEPTH_GROUPS + g;
        sums.row0 = sums.row0 + times(x_tile[at], weights);
        sums.row1 = sums.row1 + times(x_tile[at + DEPTH_GROUPS], weights);
        sums.row2 = sums.row2 + times(x_tile[at + 2u * DEPTH_GROUPS], weights);
        sums.row3 = sums.row3 + times(x_tile[at + 3u * DEPTH_GROUPS], weights);
        sums.row4 = sums.row4 + times(x_tile[at + 4u * DEPTH_GROUPS], weights);
        sums.row5 = sums.row5 + times(x_tile[at + 5u * DEPTH_GROUPS], weights);
        sums.row6 = sums.row6 + times(x_tile[at + 6u * DEPTH_GROUPS], weights);
        sums.row7 = sums.row7 + times(x_tile[at + 7u * DEPTH_GROUPS], weights);
    }
    return sums;
}

// The product of a workgroup's rows and columns; every invocation must call it.
fn product(first: u32, first_column: u32, lane: u32) -> Sums {
    var sums = Sums();
    for (var k0 = 0u; k0 < params.inner; k0 = k0 + DEPTH) {
        load_x(first, k0, lane);
        load_weight(first_column, k0, lane);
        workgroupBarrier();
        sums = add_product(sums, lane);
        workgroupBarrier();
    }
    return sums;
}

fn product_half(first: u32, first_column: u32, lane: u32) -> Sums {
    var sums = Sums();
    for (var k0 = 0u; k0 < params.inner; k0 = k0 + DEPTH) {
        load_x(first, k0, lane);
        load_weight_half(first_column, k0, lane);
        workgroupBarrier();
        sums = add_product(sums, lane);
        workgroupBarrier();
    }
    return sums;
}

// Exponents are kept where exp is a finite number: compilers may take infinities for
// impossible.

// Abramowitz and Stegun 7.1.26, within 1.5e-7.
fn erf(x: vec4<f32>) -> vec4<f32> {
    let a = min(abs(x), vec4<f32>(9.0));
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - series * exp(-a * a));
}

fn activated(x: vec4<f32>) -> vec4<f32> {
    switch params.activation {
        case 1u: {
            return 0.5 * x * (1.0 + erf(x * 0.7071067811865476));
        }
        case 2u: {
            let y = clamp(x, vec4<f32>(-20.0), vec4<f32>(20.0));
            let inside = 0.7978845608028654 * (y + 0.044715 * y * y * y);
            return 0.5 * x * (1.0 + tanh(clamp(inside, vec4<f32>(-10.0), vec4<f32>(10.0))));
        }
        case 3u: {
            let y = max(x, vec4<f32>(-50.0));
            return y / (1.0 + exp(-1.702 * y));
        }
        default: {
            return x;
        }
    }
}

fn write(row: u32, column: u32, sum: vec4<f32>) {
    let columns4 = params.columns / 4u;
    if row < params.rows && column < columns4 {
        out[row * columns4 + column] = activated(sum + bias[column]);
    }
}

fn write_residual(row: u32, column: u32, sum: vec4<f32>) {
    let columns4 = params.columns / 4u;
    if row < params.rows && column < columns4 {
        let base = residual[(row % params.residual_rows) * columns4 + column];
        out[row * columns4 + column] = base + gain[column] * (sum + bias[column]);
    }
}

fn write_all(first: u32, first_column: u32, sums: Sums, lane: u32) {
    let row = first + 8u * (lane / COLUMN_GROUPS);
    let column = first_column + lane % COLUMN_GROUPS;
    write(row, column, sums.row0);
    write(row + 1u, column, sums.row1);
    write(row + 2u, column, sums.row2);
    write(row + 3u, column, sums.row3);
    write(row + 4u, column, sums.row4);
    write(row + 5u, column, sums.row5);
    write(row + 6u, column, sums.row6);
    write(row + 7u, column, sums.row7);
}

fn write_residual_all(first: u32, first_column: u32, sums: Sums, lane: u32) {
    let row = first + 8u * (lane / COLUMN_GROUPS);
    let column = first_column + lane % COLUMN_GROUPS;
    write_residual(row, column, sums.row0);
    write_residual(row + 1u, column, sums.row1);
    write_residual(row + 2u, column, sums.row2);
    write_residual(row + 3u, column, sums.row3);
    write_residual(row + 4u, column, sums.row4);
    write_residual(row + 5u, column, sums.row5);
    write_residual(row + 6u, column, sums.row6);
    write_residual(row + 7u, column, sums.row7);
}

@compute @workgroup_size(64)
fn linear(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group.x * ROWS;
    let first_column = group.y * COLUMN_GROUPS;
    write_all(first, first_column, product(first, first_column, lane), lane);
}

@compute @workgroup_size(64)
fn linear_half(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group.x * ROWS;
    let first_column = group.y * COLUMN_GROUPS;
    write_all(first, first_column, product_half(first, first_column, lane), lane);
}

@compute @workgroup_size(64)
fn linear_residual(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group.x * ROWS;
    let first_column = group.y * COLUMN_GROUPS;
    write_residual_all(first, first_column, product(first, first_column, lane), lane);
}

@compute @workgroup_size(64)
fn linear_residual_half(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group.x * ROWS;
    let first_column = group.y * COLUMN_GROUPS;
    write_residual_all(first, first_column, product_half(first, first_column, lane), lane);
}
