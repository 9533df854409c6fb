// low_rank_refine: the low-rank adapter on patch tokens, in one pass.
//
//   out[b, t] = tokens[b, t] + (tokens[b, t] down) up    for patch tokens
//   out[b, t] = tokens[b, t]                             for the first `prefix`
//
// Input:  tokens [B, T, D], down [D, r], up [r, D], f32, r from 1 to 256.
// Output: out [B, T, D], which must not overlap the input.
//
// One workgroup takes 32 tokens. The product with `down` stays in workgroup
// memory, 64 columns of the rank at a time; a higher rank goes round again and
// adds to `out`. `low_rank_refine4` reads and writes four values at a time and
// needs D and r to be multiples of 4.

struct Params {
    images: u32,
    tokens: u32,
    dim: u32,
    prefix: u32,
    base: u32,
    out_base: u32,
    rank: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tokens: array<f32>;
@group(0) @binding(1) var<storage, read_write> tokens4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> down: array<f32>;
@group(0) @binding(2) var<storage, read_write> down4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> up4: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> out4: array<vec4<f32>>;

const ROWS: u32 = 32u;
const COLUMNS: u32 = 64u;
const DEPTH: u32 = 16u;
// Vectors of four along the depth, and along the columns.
const DEPTH_GROUPS: u32 = 4u;
const COLUMN_GROUPS: u32 = 16u;

// A slice of the tokens, [ROWS, DEPTH_GROUPS].
var<workgroup> token_tile: array<vec4<f32>, 128>;
// A slice of `down` or `up`, [DEPTH, COLUMN_GROUPS].
var<workgroup> weight_tile: array<vec4<f32>, 256>;
// tokens * down for one chunk of the rank, [ROWS, COLUMN_GROUPS].
var<workgroup> hidden: array<vec4<f32>, 512>;

// What an invocation computes: four columns of four rows, one vector a row.
struct Sums {
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    row3: vec4<f32>,
}

fn times(values: vec4<f32>, weights: mat4x4<f32>) -> vec4<f32> {
    return values.x * weights[0] + values.y * weights[1] + values.z * weights[2] + values.w * weights[3];
}

// Lines 4 g to 4 g + 3 of weight_tile, this invocation's columns.
fn weights_of(depth_group: u32, tx: u32) -> mat4x4<f32> {
    let at = 4u * depth_group * COLUMN_GROUPS + tx;
    return mat4x4<f32>(
        weight_tile[at],
        weight_tile[at + COLUMN_GROUPS],
        weight_tile[at + 2u * COLUMN_GROUPS],
        weight_tile[at + 3u * COLUMN_GROUPS],
    );
}

fn add_tokens_times_weights(so_far: Sums, lane: u32) -> Sums {
    var sums = so_far;
    for (var g = 0u; g < DEPTH_GROUPS; g = g + 1u) {
        let weights = weights_of(g, lane % COLUMN_GROUPS);
        let at = 4u * (lane / COLUMN_GROUPS) * DEPTH_GROUPS + g;
        sums.row0 = sums.row0 + times(token_tile[at], weights);
        sums.row1 = sums.row1 + times(token_tile[at + DEPTH_GROUPS], weights);
        sums.row2 = sums.row2 + times(token_tile[at + 2u * DEPTH_GROUPS], weights);
        sums.row3 = sums.row3 + times(token_tile[at + 3u * DEPTH_GROUPS], weights);
    }
    return sums;
}

// `first` is the first of the DEPTH lines within the chunk.
fn add_hidden_times_weights(so_far: Sums, first: u32, lane: u32) -> Sums {
    var sums = so_far;
    for (var g = 0u; g < DEPTH_GROUPS; g = g + 1u) {
        let weights = weights_of(g, lane % COLUMN_GROUPS);
        let at = 4u * (lane / COLUMN_GROUPS) * COLUMN_GROUPS + first / 4u + g;
        sums.row0 = sums.row0 + times(hidden[at], weights);
        sums.row1 = sums.row1 + times(hidden[at + COLUMN_GROUPS], weights);
        sums.row2 = sums.row2 + times(hidden[at + 2u * COLUMN_GROUPS], weights);
        sums.row3 = sums.row3 + times(hidden[at + 3u * COLUMN_GROUPS], weights);
    }
    return sums;
}

fn keep_hidden(sums: Sums, lane: u32) {
    let at = 4u * (lane / COLUMN_GROUPS) * COLUMN_GROUPS + lane % COLUMN_GROUPS;
    hidden[at] = sums.row0;
    hidden[at + COLUMN_GROUPS] = sums.row1;
    hidden[at + 2u * COLUMN_GROUPS] = sums.row2;
    hidden[at + 3u * COLUMN_GROUPS] = sums.row3;
}

fn row_count() -> u32 {
    return params.images * params.tokens;
}

fn is_patch(row: u32) -> bool {
    return row % params.tokens >= params.prefix;
}

fn token_at(row: u32, k: u32) -> f32 {
    if row < row_count() && k < params.dim {
        return tokens[params.base + row * params.dim + k];
    }
    return 0.0;
}

fn down_at(k: u32, column: u32) -> f32 {
    if k < params.dim && column < params.rank {
        return down[k * params.rank + column];
    }
    return 0.0;
}

fn up_at(k: u32, column: u32) -> f32 {
    if k < params.rank && column < params.dim {
        return up[k * params.dim + column];
    }
    return 0.0;
}

// Adds a shift to the token, or to what `out` already holds after the first chunk.
fn write(row: u32, column: u32, shift: vec4<f32>, from_tokens: bool) {
    for (var j = 0u; j < 4u; j = j + 1u) {
        if row < row_count() && column + j < params.dim {
            let at = row * params.dim + column + j;
            var value = 0.0;
            if from_tokens {
                value = tokens[params.base + at];
            } else {
                value = out[params.out_base + at];
            }
            out[params.out_base + at] = value + select(0.0, shift[j], is_patch(row));
        }
    }
}

// `write` for the vector `d` of the row.
fn write4(row: u32, d: u32, shift: vec4<f32>, from_tokens: bool) {
    let dim4 = params.dim / 4u;
    if row < row_count() && d < dim4 {
        let at = row * dim4 + d;
        var value = vec4<f32>(0.0);
        if from_tokens {
            value = tokens4[params.base / 4u + at];
        } else {
            value = out4[params.out_base / 4u + at];
        }
        out4[params.out_base / 4u + at] = value + select(vec4<f32>(0.0), shift, is_patch(row));
    }
}

@compute @workgroup_size(128)
fn low_rank_refine(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.y * groups.x + group.x) * ROWS;
    if first >= row_count() {
        return;
    }
    let column = 4u * (lane % COLUMN_GROUPS);
    for (var chunk = 0u; chunk < params.rank; chunk = chunk + COLUMNS) {
        var sums = Sums();
        for (var k0 = 0u; k0 < params.dim; k0 = k0 + DEPTH) {
            let row = first + lane / DEPTH_GROUPS;
            let k = k0 + 4u * (lane % DEPTH_GROUPS);
            token_tile[lane] = vec4<f32>(
                token_at(row, k),
                token_at(row, k + 1u),
                token_at(row, k + 2u),
                token_at(row, k + 3u),
            );
            for (var half = 0u; half < 2u; half = half + 1u) {
                let line = k0 + lane / COLUMN_GROUPS + 8u * half;
                weight_tile[lane + 128u * half] = vec4<f32>(
                    down_at(line, chunk + column),
                    down_at(line, chunk + column + 1u),
                    down_at(line, chunk + column + 2u),
                    down_at(line, chunk + column + 3u),
                );
            }
            workgroupBarrier();
            sums = add_tokens_times_weights(sums, lane);
            workgroupBarrier();
        }
        keep_hidden(sums, lane);
        for (var d0 = 0u; d0 < params.dim; d0 = d0 + COLUMNS) {
            sums = Sums();
            for (var k0 = 0u; k0 < COLUMNS && chunk + k0 < params.rank; k0 = k0 + DEPTH) {
                // Also orders the writes to `hidden` before its reads.
                workgroupBarrier();
                for (var half = 0u; half < 2u; half = half + 1u) {
                    let line = chunk + k0 + lane / COLUMN_GROUPS + 8u * half;
                    weight_tile[lane + 128u * half] = vec4<f32>(
                        up_at(line, d0 + column),
                        up_at(line, d0 + column + 1u),
                        up_at(line, d0 + column + 2u),
                        up_at(line, d0 + column + 3u),
                    );
                }
                workgroupBarrier();
                sums = add_hidden_times_weights(sums, k0, lane);
            }
            let row = first + 4u * (lane / COLUMN_GROUPS);
            write(row, d0 + column, sums.row0, chunk == 0u);
            write(row + 1u, d0 + column, sums.row1, chunk == 0u);
            write(row + 2u, d0 + column, sums.row2, chunk == 0u);
            write(row + 3u, d0 + column, sums.row3, chunk == 0u);
        }
        workgroupBarrier();
    }
}

@compute @workgroup_size(128)
fn low_rank_refine4(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.y * groups.x + group.x) * ROWS;
    if first >= row_count() {
        return;
    }
    let dim4 = params.dim / 4u;
    let rank4 = params.rank / 4u;
    let column = lane % COLUMN_GROUPS;
    for (var chunk = 0u; chunk < params.rank; chunk = chunk + COLUMNS) {
        var sums = Sums();
        for (var k0 = 0u; k0 < params.dim; k0 = k0 + DEPTH) {
            let row = first + lane / DEPTH_GROUPS;
            let k = k0 / 4u + lane % DEPTH_GROUPS;
            var values = vec4<f32>(0.0);
            if row < row_count() && k < dim4 {
                values = tokens4[params.base / 4u + row * dim4 + k];
            }
            token_tile[lane] = values;
            for (var half = 0u; half < 2u; half = half + 1u) {
                let line = k0 + lane / COLUMN_GROUPS + 8u * half;
                values = vec4<f32>(0.0);
                if line < params.dim && chunk / 4u + column < rank4 {
                    values = down4[line * rank4 + chunk / 4u + column];
                }
                weight_tile[lane + 128u * half] = values;
            }
            workgroupBarrier();
            sums = add_tokens_times_weights(sums, lane);
            workgroupBarrier();
        }
        keep_hidden(sums, lane);
        for (var d0 = 0u; d0 < params.dim; d0 = d0 + COLUMNS) {
            let d = d0 / 4u + column;
            sums = Sums();
            for (var k0 = 0u; k0 < COLUMNS && chunk + k0 < params.rank; k0 = k0 + DEPTH) {
                // Also orders the writes to `hidden` before its reads.
                workgroupBarrier();
                for (var half = 0u; half < 2u; half = half + 1u) {
                    let line = chunk + k0 + lane / COLUMN_GROUPS + 8u * half;
                    var values = vec4<f32>(0.0);
                    if line < params.rank && d < dim4 {
                        values = up4[line * dim4 + d];
                    }
                    weight_tile[lane + 128u * half] = values;
                }
                workgroupBarrier();
                sums = add_hidden_times_weights(sums, k0, lane);
            }
            let row = first + 4u * (lane / COLUMN_GROUPS);
            write4(row, d, sums.row0, chunk == 0u);
            write4(row + 1u, d, sums.row1, chunk == 0u);
            write4(row + 2u, d, sums.row2, chunk == 0u);
            write4(row + 3u, d, sums.row3, chunk == 0u);
        }
        workgroupBarrier();
    }
}
