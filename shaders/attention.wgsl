// attention: multi-head self-attention, without the linear layers around it.
//
//   out[b, t, h] = sum_s softmax_s(q[b, t, h] . k[b, s, h] / sqrt(d)) v[b, s, h]
//
// Input:  qkv [B, T, 3, H, d]: queries, keys and values of H heads of d channels,
//         f32, d a multiple of 4 and at most 128.
// Output: out [B, T, H, d], which must not overlap the input.
//
// One workgroup takes 32 queries of one head and goes over the keys tile by tile.
// The softmax is taken as they pass, by the highest score and the sum so far, so
// that nothing of size T x T is stored. An invocation takes four queries: their
// scores with four keys of a tile, then their sums of up to four vectors of channels.

struct Params {
    images: u32,
    tokens: u32,
    heads: u32,
    head_dim: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

const QUERIES: u32 = 32u;
const KEYS: u32 = 32u;
// Invocations to a group of four queries, and groups.
const LANES: u32 = 8u;
const GROUPS: u32 = 8u;
const TILE: u32 = 768u;
// Below every score; finite, so that differences of two stay numbers.
const LEAST: f32 = -3.0e38;

// Keys, then values, of a tile, [keys, d / 4].
var<workgroup> tile: array<vec4<f32>, 768>;
// Highest scores [LANES, GROUPS], then weights [KEYS, GROUPS], of four queries each.
var<workgroup> scores: array<vec4<f32>, 256>;

fn start_of(part: u32, image: u32, head: u32, token: u32) -> u32 {
    return (((image * params.tokens + token) * 3u + part) * params.heads + head) * (params.head_dim / 4u);
}

// Loads keys (part 1) or values (part 2) from token `first` on, zero beyond the last.
fn load(part: u32, image: u32, head: u32, first: u32, keys: u32, lane: u32) {
    let width = params.head_dim / 4u;
    for (var i = lane; i < keys * width; i = i + LANES * GROUPS) {
        let token = first + i / width;
        var values = vec4<f32>(0.0);
        if token < params.tokens {
            values = qkv[start_of(part, image, head, token) + i % width];
        }
        tile[i] = values;
    }
}

// Each query's weight times one vector of a value.
fn weighted(value: vec4<f32>, weights: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(weights.x * value, weights.y * value, weights.z * value, weights.w * value);
}

fn scaled(sums: mat4x4<f32>, by: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(sums[0] * by.x, sums[1] * by.y, sums[2] * by.z, sums[3] * by.w);
}

fn write(image: u32, head: u32, query: u32, c: u32, sums: mat4x4<f32>) {
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

@compute @workgroup_size(64)
fn attention(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let width = params.head_dim / 4u;
    let keys = min(KEYS, TILE / width);
    let scale = inverseSqrt(f32(params.head_dim));
    let blocks = (params.tokens + QUERIES - 1u) / QUERIES;
    let piece = group.y * groups.x + group.x;
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
    var sums0 = mat4x4<f32>();
    var sums1 = mat4x4<f32>();
    var sums2 = mat4x4<f32>();
    var sums3 = mat4x4<f32>();
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
            let q = mat4x4<f32>(qkv[q0 + c], qkv[q1 + c], qkv[q2 + c], qkv[q3 + c]);
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
            sums0 = sums0 + weighted(tile[k * width + min(x, width - 1u)], weights);
            if width > LANES {
                sums1 = sums1 + weighted(tile[k * width + min(x + LANES, width - 1u)], weights);
            }
            if width > 2u * LANES {
                sums2 = sums2 + weighted(tile[k * width + min(x + 2u * LANES, width - 1u)], weights);
            }
            if width > 3u * LANES {
                sums3 = sums3 + weighted(tile[k * width + min(x + 3u * LANES, width - 1u)], weights);
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
