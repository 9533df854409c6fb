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
// One more than the rows and columns, so that neighbours lie in other banks.
const ROW_STRIDE: u32 = 33u;
const HIDDEN_STRIDE: u32 = 65u;

// A slice of the tokens, [DEPTH, ROWS].
var<workgroup> token_tile: array<f32, 528>;
// A slice of `down` or `up`, [DEPTH, COLUMNS].
var<workgroup> weight_tile: array<f32, 1024>;
// tokens * down for one chunk of the rank, [ROWS, COLUMNS].
var<workgroup> hidden: array<f32, 2080>;

@compute @workgroup_size(256)
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
    let tx = lane % 16u;
    let ty = lane / 16u;

    for (var chunk = 0u; chunk < params.rank; chunk = chunk + COLUMNS) {
        // hidden = tokens * down[:, chunk..]: 2 rows x 4 columns an invocation.
        var top = vec4<f32>(0.0);
        var bottom = vec4<f32>(0.0);
        for (var k0 = 0u; k0 < dim; k0 = k0 + DEPTH) {
            let k = k0 + tx;
            for (var half = 0u; half < 2u; half = half + 1u) {
                let row = ty + 16u * half;
                var value = 0.0;
                if k < dim && first + row < rows {
                    value = tokens[params.base + (first + row) * dim + k];
                }
                token_tile[tx * ROW_STRIDE + row] = value;
            }
            let column = lane % COLUMNS;
            for (var quarter = 0u; quarter < 4u; quarter = quarter + 1u) {
                let line = lane / COLUMNS + 4u * quarter;
                var value = 0.0;
                if k0 + line < dim && chunk + column < params.rank {
                    value = down[(k0 + line) * params.rank + chunk + column];
                }
                weight_tile[line * COLUMNS + column] = value;
            }
            workgroupBarrier();
            for (var line = 0u; line < DEPTH; line = line + 1u) {
                let at = line * COLUMNS + tx;
                let weights = vec4<f32>(
                    weight_tile[at],
                    weight_tile[at + 16u],
                    weight_tile[at + 32u],
                    weight_tile[at + 48u],
                );
                top = top + token_tile[line * ROW_STRIDE + ty] * weights;
                bottom = bottom + token_tile[line * ROW_STRIDE + ty + 16u] * weights;
            }
            workgroupBarrier();
        }
        for (var j = 0u; j < 4u; j = j + 1u) {
            hidden[ty * HIDDEN_STRIDE + tx + 16u * j] = top[j];
            hidden[(ty + 16u) * HIDDEN_STRIDE + tx + 16u * j] = bottom[j];
        }

        // out = tokens + hidden * up, or out + hidden * up after the first chunk.
        let width = min(COLUMNS, params.rank - chunk);
        for (var d0 = 0u; d0 < dim; d0 = d0 + COLUMNS) {
            top = vec4<f32>(0.0);
            bottom = vec4<f32>(0.0);
            for (var k0 = 0u; k0 < width; k0 = k0 + DEPTH) {
                // Also orders the writes to `hidden` before its reads.
                workgroupBarrier();
                let column = lane % COLUMNS;
                for (var quarter = 0u; quarter < 4u; quarter = quarter + 1u) {
                    let line = lane / COLUMNS + 4u * quarter;
                    var value = 0.0;
                    if k0 + line < width && d0 + column < dim {
                        value = up[(chunk + k0 + line) * dim + d0 + column];
                    }
                    weight_tile[line * COLUMNS + column] = value;
                }
                workgroupBarrier();
                for (var line = 0u; line < DEPTH; line = line + 1u) {
                    let at = line * COLUMNS + tx;
                    let weights = vec4<f32>(
                        weight_tile[at],
                        weight_tile[at + 16u],
                        weight_tile[at + 32u],
                        weight_tile[at + 48u],
                    );
                    top = top + hidden[ty * HIDDEN_STRIDE + k0 + line] * weights;
                    bottom = bottom + hidden[(ty + 16u) * HIDDEN_STRIDE + k0 + line] * weights;
                }
            }
            for (var half = 0u; half < 2u; half = half + 1u) {
                let row = first + ty + 16u * half;
                let shift = select(top, bottom, half == 1u);
                let is_patch = row % params.tokens >= params.prefix;
                for (var j = 0u; j < 4u; j = j + 1u) {
                    let d = d0 + tx + 16u * j;
                    if row < rows && d < dim {
                        let target_at = params.out_base + row * dim + d;
                        var value = 0.0;
                        if chunk == 0u {
                            value = tokens[params.base + row * dim + d];
                        } else {
                            value = out[target_at];
                        }
                        out[target_at] = value + select(0.0, shift[j], is_patch);
                    }
                }
            }
        }
        workgroupBarrier();
    }
}
