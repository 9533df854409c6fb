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

// A value (with `by_four`, a vector) of a row of each matrix; zero outside.
fn token_value(row: u32, at: u32) -> Value {
    let width = params.batch.dim / WIDTH;
    var value = Value();
    if row < row_count() && at < width {
        value = tokens[params.batch.base / WIDTH + row * width + at];
    }
    return value;
}

fn down_value(row: u32, at: u32) -> Value {
    let width = params.rank / WIDTH;
    var value = Value();
    if row < params.batch.dim && at < width {
        value = down[row * width + at];
    }
    return value;
}

fn up_value(row: u32, at: u32) -> Value {
    let width = params.batch.dim / WIDTH;
    var value = Value();
    if row < params.rank && at < width {
        value = up[row * width + at];
    }
    return value;
}

// Four values of a row of each matrix, the `at4`-th four.
#ifdef by_four
fn token_at(row: u32, at4: u32) -> vec4<f32> {
    return token_value(row, at4);
}

fn down_at(row: u32, at4: u32) -> vec4<f32> {
    return down_value(row, at4);
}

fn up_at(row: u32, at4: u32) -> vec4<f32> {
    return up_value(row, at4);
}
#else
fn token_at(row: u32, at4: u32) -> vec4<f32> {
    let at = 4u * at4;
    return vec4<f32>(
        token_value(row, at),
        token_value(row, at + 1u),
        token_value(row, at + 2u),
        token_value(row, at + 3u),
    );
}

fn down_at(row: u32, at4: u32) -> vec4<f32> {
    let at = 4u * at4;
    return vec4<f32>(
        down_value(row, at),
        down_value(row, at + 1u),
        down_value(row, at + 2u),
        down_value(row, at + 3u),
    );
}

fn up_at(row: u32, at4: u32) -> vec4<f32> {
    let at = 4u * at4;
    return vec4<f32>(
        up_value(row, at),
        up_value(row, at + 1u),
        up_value(row, at + 2u),
        up_value(row, at + 3u),
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
