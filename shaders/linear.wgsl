// linear: a linear layer with what follows it.
//
//   out[r] = f(x[r] W + b)
//   out[r] = residual[r mod S] + g * (x[r] W + b)            with the flag `residual`
//
// Input:  x [R, K], W [K, N], b [N], g [N] (LayerScale's gain, else ones),
//         residual [S, N], f32, K and N multiples of 4.
// Output: out [R, N], which must not overlap an input.
//
// f by `activation`. With the flag `half` W is stored as f16, which needs no feature
// of the device: the products and sums stay f32.
//
// One workgroup takes ROWS rows and COLUMNS columns; an invocation eight rows of four
// columns.

#import activation
#import tiles

struct Params {
    rows: u32,
    inner: u32,
    columns: u32,
    activation: u32,
    residual_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
#ifdef half
@group(0) @binding(2) var<storage, read_write> weight: array<vec2<u32>>;
#else
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;
#endif
@group(0) @binding(3) var<storage, read_write> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
#ifdef residual
@group(0) @binding(5) var<storage, read_write> gain: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> residual: array<vec4<f32>>;
#endif

#host ROWS
#host COLUMNS
const WORKGROUP: u32 = ROWS / 8u * COLUMN_GROUPS;
// Values of `activation`.
#host GELU
#host GELU_TANH
#host QUICK_GELU

// What an invocation computes: four columns of eight rows.
struct Sums {
    upper: Block,
    lower: Block,
}

// Four values of row r of x; zeros outside.
fn x_at(row: u32, k: u32) -> vec4<f32> {
    let inner4 = params.inner / 4u;
    var values = vec4<f32>(0.0);
    if row < params.rows && k < inner4 {
        values = x[row * inner4 + k];
    }
    return values;
}

// Four values of a line of W; zeros outside.
fn weight_at(line: u32, column: u32) -> vec4<f32> {
    let columns4 = params.columns / 4u;
    var values = vec4<f32>(0.0);
    if line < params.inner && column < columns4 {
#ifdef half
        let packed = weight[line * columns4 + column];
        values = vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
#else
        values = weight[line * columns4 + column];
#endif
    }
    return values;
}

fn load(first: u32, first_column: u32, k0: u32, lane: u32) {
    for (var i = 0u; i < LEFT_LOADS; i = i + 1u) {
        let slot = lane + i * WORKGROUP;
        left_tile[slot] = x_at(first + slot / DEPTH_GROUPS, k0 / 4u + slot % DEPTH_GROUPS);
    }
    for (var i = 0u; i < RIGHT_LOADS; i = i + 1u) {
        let slot = lane + i * WORKGROUP;
        right_tile[slot] = weight_at(k0 + slot / COLUMN_GROUPS, first_column + slot % COLUMN_GROUPS);
    }
}

fn activated(x: vec4<f32>) -> vec4<f32> {
    switch params.activation {
        case GELU: {
            return gelu(x);
        }
        case GELU_TANH: {
            return gelu_tanh(x);
        }
        case QUICK_GELU: {
            return quick_gelu(x);
        }
        default: {
            return x;
        }
    }
}

fn write(row: u32, column: u32, sum: vec4<f32>) {
    let columns4 = params.columns / 4u;
    if row < params.rows && column < columns4 {
#ifdef residual
        let base = residual[(row % params.residual_rows) * columns4 + column];
        out[row * columns4 + column] = base + gain[column] * (sum + bias[column]);
#else
        out[row * columns4 + column] = activated(sum + bias[column]);
#endif
    }
}

fn write_block(row: u32, column: u32, sums: Block) {
    write(row, column, sums[0]);
    write(row + 1u, column, sums[1]);
    write(row + 2u, column, sums[2]);
    write(row + 3u, column, sums[3]);
}

@compute @workgroup_size(WORKGROUP)
fn linear(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group.x * ROWS;
    let first_column = group.y * COLUMN_GROUPS;
    let row = 8u * (lane / COLUMN_GROUPS);
    let column = lane % COLUMN_GROUPS;
    var sums = Sums();
    for (var k0 = 0u; k0 < params.inner; k0 = k0 + DEPTH) {
        load(first, first_column, k0, lane);
        workgroupBarrier();
        for (var g = 0u; g < DEPTH_GROUPS; g = g + 1u) {
            let weights = right_block(g, column);
            sums.upper = add_product(sums.upper, left_block(row, g), weights);
            sums.lower = add_product(sums.lower, left_block(row + 4u, g), weights);
        }
        workgroupBarrier();
    }
    write_block(first + row, first_column + column, sums.upper);
    write_block(first + row + 4u, first_column + column, sums.lower);
}
