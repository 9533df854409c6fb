// attention: multi-head self-attention, without the linear layers around it.
//
//   out[b, t, h] = sum_s softmax_s(q[b, t, h] . k[b, s, h] / sqrt(d)) v[b, s, h]
//
// Input:  qkv [B, T, 3, H, d]: queries, keys and values of H heads of d channels,
//         f32, d a multiple of 4 and at most MAX_HEAD_DIM.
// Output: out [B, T, H, d], which must not overlap the input.
//
// One workgroup takes QUERIES queries of one head and goes over the keys tile by tile.
// The softmax is taken as they pass, by the highest score and the sum so far, so
// that nothing of size T x T is stored. An invocation takes four queries: their
// scores with four keys of a tile, then their sums of up to four vectors of channels.

#import block
#import spread

struct Params {
    images: u32,
    tokens: u32,
    heads: u32,
    head_dim: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

#host QUERIES
#host MAX_HEAD_DIM
const KEYS: u32 = 32u;
// Groups of four queries, and invocations to each.
const GROUPS: u32 = QUERIES / 4u;
const LANES: u32 = 8u;
const WORKGROUP: u32 = LANES * GROUPS;
// Vectors of keys or values that fit workgroup memory beside the scores.
const TILE: u32 = 768u;
// An invocation has four scores of a query, and four vectors of its sums.
const_assert KEYS == 4u * LANES;
const_assert MAX_HEAD_DIM == 4u * 4u * LANES;
// Below every score; finite, so that differences of two stay numbers.
const LEAST: f32 = -3.0e38;

// Keys, then values, of a tile, [keys, d / 4].
var<workgroup> tile: array<vec4<f32>, TILE>;
// Highest scores [LANES, GROUPS], then weights [KEYS, GROUPS], of four queries each.
var<workgroup> scores: array<vec4<f32>, KEYS * GROUPS>;

fn start_of(part: u32, image: u32, head: u32, token: u32) -> u32 {
    return (((image * params.tokens + token) * 3u + part) * params.heads + head) * (params.head_dim / 4u);
}

// Loads keys (part 1) or values (part 2) from token `first` on, zero beyond the last.
fn load(part: u32, image: u32, head: u32, first: u32, keys: u32, lane: u32) {
    let width = params.head_dim / 4u;
    for (var i = lane; i < keys * width; i = i + WORKGROUP) {
        let token = first + i / width;
        var values = vec4<f32>(0.0);
        if token < params.tokens {
            values = qkv[start_of(part, image, head, token) + i % width];
        }
        tile[i] = values;
    }
}

fn scaled(sums: Block, by: vec4<f32>) -> Block {
    return Block(sums[0] * by.x, sums[1] * by.y, sums[2] * by.z, sums[3] * by.w);
}

fn write(image: u32, head: u32, query: u32, c: u32, sums: Block) {
    let width = params.head_dim / 4u;
    if c >= width {
        return;
    }
    for (var i = 0u; i < 4u; i = i + 1u) {
        if query + i < params.tokens {
            let token = image * params.tokens + query + i;
            out[(token * params.heads + head) * width + c] = sums[i];
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn attention(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let width = params.head_dim / 4u;
    let keys = min(KEYS, TILE / width);
    let scale = inverseSqrt(f32(params.head_dim));
    let blocks = (params.tokens + QUERIES - 1u) / QUERIES;
    let piece = piece_of(group, groups);
    let head = (piece / blocks) % params.heads;
    let image = piece / blocks / params.heads;
    if image >= params.images {
        return;
    }
    let x = lane % LANES;
    let y = lane / LANES;
    let query = (piece % blocks) * QUERIES + 4u * y;
    // Beyond the last query the last one is computed again, and not written.
    let last = params.tokens - 1u;
    let q0 = start_of(0u, image, head, min(query, last));
    let q1 = start_of(0u, image, head, min(query + 1u, last));
    let q2 = start_of(0u, image, head, min(query + 2u, last));
    let q3 = start_of(0u, image, head, min(query + 3u, last));

    var top = vec4<f32>(LEAST);
    var total = vec4<f32>(0.0);
    var sums0 = Block();
    var sums1 = Block();
    var sums2 = Block();
    var sums3 = Block();
    for (var first = 0u; first < params.tokens; first = first + keys) {
        load(1u, image, head, first, keys, lane);
        workgroupBarrier();
        let here = min(keys, params.tokens - first);
        // A key that is missing is read as another one, and its score dropped.
        let k0 = min(x, here - 1u) * width;
        let k1 = min(x + LANES, here - 1u) * width;
        let k2 = min(x + 2u * LANES, here - 1u) * width;
        let k3 = min(x + 3u * LANES, here - 1u) * width;
        var dots0 = vec4<f32>(0.0);
        var dots1 = vec4<f32>(0.0);
        var dots2 = vec4<f32>(0.0);
        var dots3 = vec4<f32>(0.0);
        for (var c = 0u; c < width; c = c + 1u) {
            let q = Block(qkv[q0 + c], qkv[q1 + c], qkv[q2 + c], qkv[q3 + c]);
            dots0 = dots0 + tile[k0 + c] * q;
            dots1 = dots1 + tile[k1 + c] * q;
            dots2 = dots2 + tile[k2 + c] * q;
            dots3 = dots3 + tile[k3 + c] * q;
        }
        dots0 = select(vec4<f32>(LEAST), dots0 * scale, x < here);
        dots1 = select(vec4<f32>(LEAST), dots1 * scale, x + LANES < here);
        dots2 = select(vec4<f32>(LEAST), dots2 * scale, x + 2u * LANES < here);
        dots3 = select(vec4<f32>(LEAST), dots3 * scale, x + 3u * LANES < here);
        scores[x * GROUPS + y] = max(max(dots0, dots1), max(dots2, dots3));
        workgroupBarrier();
        let before = top;
        for (var i = 0u; i < LANES; i = i + 1u) {
            top = max(top, scores[i * GROUPS + y]);
        }
        load(2u, image, head, first, keys, lane);
        workgroupBarrier();
        scores[x * GROUPS + y] = exp(dots0 - top);
        scores[(x + LANES) * GROUPS + y] = exp(dots1 - top);
        scores[(x + 2u * LANES) * GROUPS + y] = exp(dots2 - top);
        scores[(x + 3u * LANES) * GROUPS + y] = exp(dots3 - top);
        workgroupBarrier();
        let kept = exp(before - top);
        total = total * kept;
        sums0 = scaled(sums0, kept);
        sums1 = scaled(sums1, kept);
        sums2 = scaled(sums2, kept);
        sums3 = scaled(sums3, kept);
        for (var k = 0u; k < here; k = k + 1u) {
            let weights = scores[k * GROUPS + y];
            total = total + weights;
            sums0 = sums0 + outer(weights, tile[k * width + min(x, width - 1u)]);
            if width > LANES {
                sums1 = sums1 + outer(weights, tile[k * width + min(x + LANES, width - 1u)]);
            }
            if width > 2u * LANES {
                sums2 = sums2 + outer(weights, tile[k * width + min(x + 2u * LANES, width - 1u)]);
            }
            if width > 3u * LANES {
                sums3 = sums3 + outer(weights, tile[k * width + min(x + 3u * LANES, width - 1u)]);
            }
        }
        workgroupBarrier();
    }
    let share = 1.0 / total;
    write(image, head, query, x, scaled(sums0, share));
    write(image, head, query, x + LANES, scaled(sums1, share));
    write(image, head, query, x + 2u * LANES, scaled(sums2, share));
    write(image, head, query, x + 3u * LANES, scaled(sums3, share));
}
