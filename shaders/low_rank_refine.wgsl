// low_rank_refine: the low-rank adapter on patch tokens, in one pass.
//
//   out[b, t] = tokens[b, t] + (tokens[b, t] down) up    for patch tokens
//   out[b, t] = tokens[b, t]                             for the first `prefix`
//
// Input:  tokens [B, T, D], down [D, r], up [r, D], f32.
// Output: out [B, T, D], which must not overlap the input.
//
// One workgroup takes ROWS tokens. The product with `down` stays in workgroup memory,
// COLUMNS columns of the rank at a time; a higher rank goes round again and adds to
// `out`. With the flag `by_four` D and r are multiples of 4.

#import spread
#import tiles
#import token_batch
#import values

struct Params {
    batch: TokenBatch,
    rank: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tokens: array<Value>;
@group(0) @binding(2) var<storage, read_write> down: array<Value>;
@group(0) @binding(3) var<storage, read_write> up: array<Value>;
@group(0) @binding(4) var<storage, read_write> out: array<Value>;

#host ROWS
const COLUMNS: u32 = 64u;
const WORKGROUP: u32 = ROWS / 4u * COLUMN_GROUPS;

// tokens * down for one chunk of the rank, [ROWS, COLUMN_GROUPS].
var<workgroup> hidden: array<vec4<f32>, ROWS * COLUMN_GROUPS>;

fn row_count() -> u32 {
    return params.batch.images * params.batch.tokens;
}

// Four values of a row of each matrix; zeros outside.
#ifdef by_four
fn token_at(row: u32, k4: u32) -> vec4<f32> {
    let width = params.batch.dim / 4u;
    if row < row_count() && k4 < width {
        return tokens[params.batch.base / 4u + row * width + k4];
    }
    return vec4<f32>(0.0);
}

fn down_at(line: u32, column4: u32) -> vec4<f32> {
    let width = params.rank / 4u;
    if line < params.batch.dim && column4 < width {
        return down[line * width + column4];
    }
    return vec4<f32>(0.0);
}

fn up_at(line: u32, column4: u32) -> vec4<f32> {
    let width = params.batch.dim / 4u;
    if line < params.rank && column4 < width {
        return up[line * width + column4];
    }
    return vec4<f32>(0.0);
}
#else
fn one_of_tokens(row: u32, k: u32) -> f32 {
    if row < row_count() && k < params.batch.dim {
        return tokens[params.batch.base + row * params.batch.dim + k];
    }
    return 0.0;
}

fn token_at(row: u32, k4: u32) -> vec4<f32> {
    let k = 4u * k4;
    return vec4<f32>(
        one_of_tokens(row, k),
        one_of_tokens(row, k + 1u),
        one_of_tokens(row, k + 2u),
        one_of_tokens(row, k + 3u),
    );
}

fn one_of_down(line: u32, column: u32) -> f32 {
    if line < params.batch.dim && column < params.rank {
        return down[line * params.rank + column];
    }
    return 0.0;
}

fn down_at(line: u32, column4: u32) -> vec4<f32> {
    let column = 4u * column4;
    return vec4<f32>(
        one_of_down(line, column),
        one_of_down(line, column + 1u),
        one_of_down(line, column + 2u),
        one_of_down(line, column + 3u),
    );
}

fn one_of_up(line: u32, column: u32) -> f32 {
    if line < params.rank && column < params.batch.dim {
        return up[line * params.batch.dim + column];
    }
    return 0.0;
}

fn up_at(line: u32, column4: u32) -> vec4<f32> {
    let column = 4u * column4;
    return vec4<f32>(
        one_of_up(line, column),
        one_of_up(line, column + 1u),
        one_of_up(line, column + 2u),
        one_of_up(line, column + 3u),
    );
}
#endif

// Adds a shift to `d`, a value or with `by_four` a vector of a token; after the first
// chunk, to what `out` holds of it.
fn add_to_out(row: u32, d: u32, shift: Value, first_chunk: bool) {
    let width = params.batch.dim / WIDTH;
    if row < row_count() && d < width {
        let at = row * width + d;
        let written = params.batch.out_base / WIDTH + at;
        var value = Value();
        if first_chunk {
            value = tokens[params.batch.base / WIDTH + at];
        } else {
            value = out[written];
        }
        let is_patch = row % params.batch.tokens >= params.batch.prefix;
        out[written] = value + select(Value(), shift, is_patch);
    }
}

fn write(row: u32, d4: u32, shift: vec4<f32>, first_chunk: bool) {
#ifdef by_four
    add_to_out(row, d4, shift, first_chunk);
#else
    add_to_out(row, 4u * d4, shift.x, first_chunk);
    add_to_out(row, 4u * d4 + 1u, shift.y, first_chunk);
    add_to_out(row, 4u * d4 + 2u, shift.z, first_chunk);
    add_to_out(row, 4u * d4 + 3u, shift.w, first_chunk);
#endif
}

@compute @workgroup_size(WORKGROUP)
fn low_rank_refine(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = piece_of(group, groups) * ROWS;
    if first >= row_count() {
        return;
    }
    // This invocation's four rows and four columns.
    let row = 4u * (lane / COLUMN_GROUPS);
    let column = lane % COLUMN_GROUPS;
    let hidden_row = row * COLUMN_GROUPS;
    for (var chunk = 0u; chunk < params.rank; chunk = chunk + COLUMNS) {
        var sums = Block();
        for (var k0 = 0u; k0 < params.batch.dim; k0 = k0 + DEPTH) {
            for (var i = 0u; i < LEFT_LOADS; i = i + 1u) {
                let slot = lane + i * WORKGROUP;
                left_tile[slot] = token_at(first + slot / DEPTH_GROUPS, k0 / 4u + slot % DEPTH_GROUPS);
            }
            for (var i = 0u; i < RIGHT_LOADS; i = i + 1u) {
                let slot = lane + i * WORKGROUP;
                right_tile[slot] = down_at(k0 + slot / COLUMN_GROUPS, chunk / 4u + slot % COLUMN_GROUPS);
            }
            workgroupBarrier();
            for (var g = 0u; g < DEPTH_GROUPS; g = g + 1u) {
                sums = add_product(sums, left_block(row, g), right_block(g, column));
            }
            workgroupBarrier();
        }
        hidden[hidden_row + column] = sums[0];
        hidden[hidden_row + COLUMN_GROUPS + column] = sums[1];
        hidden[hidden_row + 2u * COLUMN_GROUPS + column] = sums[2];
        hidden[hidden_row + 3u * COLUMN_GROUPS + column] = sums[3];
        for (var d0 = 0u; d0 < params.batch.dim; d0 = d0 + COLUMNS) {
            sums = Block();
            for (var k0 = 0u; k0 < COLUMNS && chunk + k0 < params.rank; k0 = k0 + DEPTH) {
                // Also orders the writes to `hidden` before its reads.
                workgroupBarrier();
                for (var i = 0u; i < RIGHT_LOADS; i = i + 1u) {
                    let slot = lane + i * WORKGROUP;
                    let line = chunk + k0 + slot / COLUMN_GROUPS;
                    right_tile[slot] = up_at(line, d0 / 4u + slot % COLUMN_GROUPS);
                }
                workgroupBarrier();
                for (var g = 0u; g < DEPTH_GROUPS; g = g + 1u) {
                    let at = hidden_row + k0 / 4u + g;
                    let rows = Block(
                        hidden[at],
                        hidden[at + COLUMN_GROUPS],
                        hidden[at + 2u * COLUMN_GROUPS],
                        hidden[at + 3u * COLUMN_GROUPS],
                    );
                    sums = add_product(sums, rows, right_block(g, column));
                }
            }
            let d = d0 / 4u + column;
            write(first + row, d, sums[0], chunk == 0u);
            write(first + row + 1u, d, sums[1], chunk == 0u);
            write(first + row + 2u, d, sums[2], chunk == 0u);
            write(first + row + 3u, d, sums[3], chunk == 0u);
        }
        workgroupBarrier();
    }
}
