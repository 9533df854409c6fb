// colormap: a scalar map of patches as RGBA pixels.
//
//   share = clamp((value - low) / (high - low), 0, 1), 0 where high <= low
//   out[y, x] = table[round((LEVELS - 1) share)]
//   out[y, x] = under + (table[...] - under) opacity            with the flag `over`
//
// Input:  values [h, w], f32; table [LEVELS] and under [H, W], RGBA in the four
//         bytes of a u32, red lowest; range [low, high].
// Output: out [H, row_stride], RGBA as above, of which the first W of a row are
//         written. A value that is not finite gives 0 (transparent), or `under`.
//
// A pixel's centre lies at ((y + 0.5) h / H, (x + 0.5) w / W) in patches; it takes
// the value of the patch it lies in, or where `bilinear` is not 0 of the four nearest
// centres. `extent` writes the least and the largest finite value to range, both
// 0 where there is none.

#import reduce

struct Params {
    rows: u32,
    columns: u32,
    height: u32,
    width: u32,
    row_stride: u32,
    bilinear: u32,
    opacity: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> range: array<f32>;
#ifdef over
@group(0) @binding(4) var<storage, read_write> under: array<u32>;
#endif
@group(0) @binding(5) var<storage, read_write> out: array<u32>;

#host LEVELS
// Side of the square of pixels that a workgroup takes.
#host SQUARE
const WORKGROUP: u32 = SQUARE * SQUARE;
const LARGEST: f32 = 3.4028234e38;

// `extent`: the least and the largest value of a whole workgroup.
const LANES: u32 = WORKGROUP;
alias Partial = vec2<f32>;

fn combine(a: Partial, b: Partial) -> Partial {
    return vec2<f32>(min(a.x, b.x), max(a.y, b.y));
}

fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(WORKGROUP)
fn extent(@builtin(local_invocation_index) lane: u32) {
    var found = vec2<f32>(LARGEST, -LARGEST);
    for (var i = lane; i < params.rows * params.columns; i = i + WORKGROUP) {
        let value = values[i];
        if is_finite(value) {
            found = combine(found, vec2<f32>(value));
        }
    }
    found = reduce(found, lane);
    if lane == 0u {
        let any = found.x <= found.y;
        range[0] = select(0.0, found.x, any);
        range[1] = select(0.0, found.y, any);
    }
}

fn value_at(row: u32, column: u32) -> f32 {
    return values[row * params.columns + column];
}

fn nearest(y: f32, x: f32) -> f32 {
    return value_at(min(u32(y), params.rows - 1u), min(u32(x), params.columns - 1u));
}

fn between(y: f32, x: f32) -> f32 {
    let down = clamp(y - 0.5, 0.0, f32(params.rows - 1u));
    let across = clamp(x - 0.5, 0.0, f32(params.columns - 1u));
    let top = u32(down);
    let left = u32(across);
    let bottom = min(top + 1u, params.rows - 1u);
    let right = min(left + 1u, params.columns - 1u);
    let share = across - f32(left);
    let above = value_at(top, left) + (value_at(top, right) - value_at(top, left)) * share;
    let below = value_at(bottom, left) + (value_at(bottom, right) - value_at(bottom, left)) * share;
    return above + (below - above) * (down - f32(top));
}

fn value_of(pixel: vec2<u32>) -> f32 {
    let y = (f32(pixel.y) + 0.5) * (f32(params.rows) / f32(params.height));
    let x = (f32(pixel.x) + 0.5) * (f32(params.columns) / f32(params.width));
    if params.bilinear != 0u {
        return between(y, x);
    }
    return nearest(y, x);
}

fn colour_of(value: f32) -> u32 {
    let low = range[0];
    let high = range[1];
    var share = 0.0;
    if high > low {
        share = clamp((value - low) / (high - low), 0.0, 1.0);
    }
    return table[min(u32(share * f32(LEVELS - 1u) + 0.5), LEVELS - 1u)];
}

#ifdef over
// A colour over what lies below it, channel by channel.
fn mixed(colour: u32, below: u32) -> u32 {
    var result = 0u;
    for (var channel = 0u; channel < 32u; channel = channel + 8u) {
        let above = f32((colour >> channel) & 0xffu);
        let ground = f32((below >> channel) & 0xffu);
        let level = u32(ground + (above - ground) * params.opacity + 0.5);
        result = result | (min(level, 255u) << channel);
    }
    return result;
}
#endif

@compute @workgroup_size(SQUARE, SQUARE)
fn colormap(@builtin(global_invocation_id) pixel: vec3<u32>) {
    if pixel.x >= params.width || pixel.y >= params.height {
        return;
    }
    let value = value_of(pixel.xy);
#ifdef over
    let below = under[pixel.y * params.width + pixel.x];
    var colour = below;
    if is_finite(value) {
        colour = mixed(colour_of(value), below);
    }
#else
    let colour = select(0u, colour_of(value), is_finite(value));
#endif
    out[pixel.y * params.row_stride + pixel.x] = colour;
}
