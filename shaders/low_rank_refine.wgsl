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
// adds to `out`.

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
@group(0) @binding(2) var<storage, read_write> down: array<f32>;
@group(0) @binding(3) var<storage, read_write> up: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

const ROWS: u32 = 32u;
const COLUMNS: u32 = 64u;
const DEPTH: u32 = 16u;
// In groups of four.
const ROW_GROUPS: u32 = 8u;
const COLUMN_GROUPS: u32 = 16u;

// A slice of the tokens, [DEPTH, ROW_GROUPS], four rows to a vector.
var<workgroup> token_tile: array<vec4<f32>, 128>;
// A slice of `down` or `up`, [DEPTH, COLUMN_GROUPS], four columns to a vector.
var<workgroup> weight_tile: array<vec4<f32>, 256>;
// tokens * down for one chunk of the rank, [COLUMNS, ROW_GROUPS], four rows to a
// vector.
var<workgroup> hidden: array<vec4<f32>, 512>;

// The 4 x 4 values of an invocation, one vector a row.
struct Sums {
    rows: array<vec4<f32>, 4>,
}

fn add_product(so_far: Sums, tokens_of_rows: vec4<f32>, weights: vec4<f32>) -> Sums {
    var sums = so_far;
    sums.rows[0] = sums.rows[0] + tokens_of_rows.x * weights;
    sums.rows[1] = sums.rows[1] + tokens_of_rows.y * weights;
    sums.rows[2] = sums.rows[2] + tokens_of_rows.z * weights;
    sums.rows[3] = sums.rows[3] + tokens_of_rows.w * weights;
    return sums;
}

fn token_at(row: u32, k: u32) -> f32 {
    if row < params.images * params.tokens && k < params.dim {
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

@compute @workgroup_size(128)
fn low_rank_refine(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = (group.y * groups.x + group.x) * ROWS;
    let rows = params.images * params.tokens;
    if first >= rows {
        return;
    }
    let dim = params.dim;
    // Four columns and four rows are this invocation's.
    let tx = lane % COLUMN_GROUPS;
    let ty = lane / COLUMN_GROUPS;
    let row0 = first + 4u * ty;

    for (var chunk = 0u; chunk < params.rank; chunk = chunk + COLUMNS) {
        // hidden = tokens * down[:, chunk..].
        var sums = Sums();
        for (var k0 = 0u; k0 < dim; k0 = k0 + DEPTH) {
            let k = k0 + tx;
            token_tile[tx * ROW_GROUPS + ty] = vec4<f32>(
                token_at(row0, k),
                token_at(row0 + 1u, k),
                token_at(row0 + 2u, k),
                token_at(row0 + 3u, k),
            );
            let column = chunk + 4u * tx;
            for (var half = 0u; half < 2u; half = half + 1u) {
                let line = ty + ROW_GROUPS * half;
                weight_tile[line * COLUMN_GROUPS + tx] = vec4<f32>(
                    down_at(k0 + line, column),
                    down_at(k0 + line, column + 1u),
                    down_at(k0 + line, column + 2u),
                    down_at(k0 + line, column + 3u),
                );
            }
            workgroupBarrier();
            for (var line = 0u; line < DEPTH; line = line + 1u) {
                sums = add_product(
                    sums,
                    token_tile[line * ROW_GROUPS + ty],
                    weight_tile[line * COLUMN_GROUPS + tx],
                );
            }
            workgroupBarrier();
        }
        for (var j = 0u; j < 4u; j = j + 1u) {
            hidden[(4u * tx + j) * ROW_GROUPS + ty] =
                vec4<f32>(sums.rows[0][j], sums.rows[1][j], sums.rows[2][j], sums.rows[3][j]);
        }

        // out = tokens + hidden * up, or out + hidden * up after the first chunk.
        let width = min(COLUMNS, params.rank - chunk);
        for (var d0 = 0u; d0 < dim; d0 = d0 + COLUMNS) {
            sums = Sums();
            let column = d0 + 4u * tx;
            for (var k0 = 0u; k0 < width; k0 = k0 + DEPTH) {
                // Also orders the writes to `hidden` before its reads.
                workgroupBarrier();
                for (var half = 0u; half < 2u; half = half + 1u) {
                    let line = ty + ROW_GROUPS * half;
                    let k = chunk + k0 + line;
                    weight_tile[line * COLUMN_GROUPS + tx] = vec4<f32>(
                        up_at(k, column),
                        up_at(k, column + 1u),
                        up_at(k, column + 2u),
                        up_at(k, column + 3u),
                    );
                }
                workgroupBarrier();
                for (var line = 0u; line < DEPTH; line = line + 1u) {
                    sums = add_product(
                        sums,
                        hidden[(k0 + line) * ROW_GROUPS + ty],
                        weight_tile[line * COLUMN_GROUPS + tx],
                    );
                }
            }
            for (var i = 0u; i < 4u; i = i + 1u) {
                let row = row0 + i;
                let is_patch = row % params.tokens >= params.prefix;
                let shift = select(vec4<f32>(0.0), sums.rows[i], is_patch);
                for (var j = 0u; j < 4u; j = j + 1u) {
                    if row < rows && column + j < dim {
                        let at = row * dim + column + j;
                        var value = 0.0;
                        if chunk == 0u {
                            value = tokens[params.base + at];
                        } else {
                            value = out[params.out_base + at];
                        }
                        out[params.out_base + at] = value + shift[j];
                    }
                }
            }
        }
        workgroupBarrier();
    }
}
