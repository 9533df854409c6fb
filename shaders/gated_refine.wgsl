// gated_refine: the closed form's adapter, on the tokens that show an artifact.
//
//   g[b, t]   = 1 where |(tokens[b, t] - centre) . up[j]| > limit[j] for any j, else 0
//   out[b, t] = tokens[b, t] + g[b, t] ((tokens[b, t] - centre) down) up
//                                    for patch tokens, with `class_token` for token 0 too
//   out[b, t] = tokens[b, t]         for the others, and where g is 0, bit for bit
//
// Input:  tokens [B, T, D], down [D, r], up [r, D], centre [D], limit [r], f32.
// Output: out [B, T, D], which must not overlap the input.
//
// One workgroup takes ROWS tokens, LANES invocations to each. As few tokens are
// artifacts, a workgroup without one leaves after the scores and copies its tokens. With
// the flag `by_four` D is a multiple of 4.

#import reduce
#import spread
#import token_batch
#import values

struct Params {
    batch: TokenBatch,
    rank: u32,
    // 1 where token 0 is refined as patches are, else 0.
    class_token: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tokens: array<Value>;
@group(0) @binding(2) var<storage, read_write> down: array<f32>;
@group(0) @binding(3) var<storage, read_write> up: array<Value>;
@group(0) @binding(4) var<storage, read_write> centre: array<Value>;
@group(0) @binding(5) var<storage, read_write> limit: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<Value>;

#host ROWS
#host MAX_RANK
const LANES: u32 = 32u;
const WORKGROUP: u32 = ROWS * LANES;

// Of four directions.
alias Partial = vec4<f32>;

fn combine(a: Partial, b: Partial) -> Partial {
    return a + b;
}

// (tokens - centre) down, [ROWS, MAX_RANK].
var<workgroup> hidden: array<f32, ROWS * MAX_RANK>;
// Which of the tokens pass the gate, and how many.
var<workgroup> passing: array<u32, ROWS>;
var<workgroup> artifacts: u32;

// Four directions from `j` on; beyond the rank the last one again, which changes no
// maximum.
fn directions(j: u32) -> vec4<u32> {
    return min(j + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.rank - 1u));
}

fn down_line(d: u32, columns: vec4<u32>) -> vec4<f32> {
    let at = d * params.rank + columns;
    return vec4<f32>(down[at.x], down[at.y], down[at.z], down[at.w]);
}

// The `d`-th value of a token times its lines of `down`.
#ifdef by_four
fn times_down(value: Value, d: u32, columns: vec4<u32>) -> vec4<f32> {
    return value.x * down_line(4u * d, columns) + value.y * down_line(4u * d + 1u, columns)
        + value.z * down_line(4u * d + 2u, columns) + value.w * down_line(4u * d + 3u, columns);
}
#else
fn times_down(value: Value, d: u32, columns: vec4<u32>) -> vec4<f32> {
    return value * down_line(d, columns);
}
#endif

@compute @workgroup_size(LANES, ROWS)
fn gated_refine(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let row = piece_of(group, groups) * ROWS + local.y;
    let inside = row < params.batch.images * params.batch.tokens;
    let token = row % params.batch.tokens;
    let is_patch = token >= params.batch.prefix;
    let refinable = inside && (is_patch || (token == 0u && params.class_token == 1u));
    let width = params.batch.dim / WIDTH;
    let start = params.batch.base / WIDTH + row * width;

    var passes = false;
    for (var j = 0u; j < params.rank; j = j + 4u) {
        let columns = directions(j);
        let lines = columns * width;
        var sums = Partial();
        if refinable {
            for (var d = local.x; d < width; d = d + LANES) {
                let value = tokens[start + d] - centre[d];
                sums = sums + vec4<f32>(
                    product(value, up[lines.x + d]),
                    product(value, up[lines.y + d]),
                    product(value, up[lines.z + d]),
                    product(value, up[lines.w + d]),
                );
            }
        }
        let scores = abs(reduce(sums, index));
        let limits = vec4<f32>(limit[columns.x], limit[columns.y], limit[columns.z], limit[columns.w]);
        passes = passes || any(scores > limits);
        workgroupBarrier();
    }
    passes = passes && refinable;

    if local.x == 0u {
        passing[local.y] = u32(passes);
    }
    workgroupBarrier();
    if index == 0u {
        var count = 0u;
        for (var i = 0u; i < ROWS; i = i + 1u) {
            count = count + passing[i];
        }
        artifacts = count;
    }
    if workgroupUniformLoad(&artifacts) > 0u {
        for (var j = 0u; j < params.rank; j = j + 4u) {
            let columns = directions(j);
            var sums = Partial();
            if passes {
                for (var d = local.x; d < width; d = d + LANES) {
                    sums = sums + times_down(tokens[start + d] - centre[d], d, columns);
                }
            }
            let found = reduce(sums, index);
            if local.x == 0u {
                let at = local.y * MAX_RANK + columns;
                hidden[at.x] = found.x;
                hidden[at.y] = found.y;
                hidden[at.z] = found.z;
                hidden[at.w] = found.w;
            }
            workgroupBarrier();
        }
    }

    if inside {
        for (var d = local.x; d < width; d = d + LANES) {
            var value = tokens[start + d];
            if passes {
                var shift = Value();
                for (var j = 0u; j < params.rank; j = j + 1u) {
                    shift = shift + hidden[local.y * MAX_RANK + j] * up[j * width + d];
                }
                value = value + shift;
            }
            out[params.batch.out_base / WIDTH + row * width + d] = value;
        }
    }
}
