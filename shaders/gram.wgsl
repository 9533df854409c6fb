// gram: the Gram matrix of patch tokens scaled to unit length, and the mean
// squared difference of two of them, of which neither is stored.
//
//   G(x)[b, i, j] = x[b, i] . x[b, j] / max(|x[b, i]| |x[b, j]|, 1e-24)
//   gram:          out[b] = G(a)[b]
//   gram_distance: partial[b, tile] = sum over a tile of (G(a) - G(c))^2
//   gram_sum:      out[b] = sum_tile partial[b, tile] / P^2
//
// Input:  a and c [B, T, D] (patch_norm's norms_a and norms_c [B, P] beside
//         them); the first `prefix` tokens are skipped.
// Output: out [B, P, P] or [B]; partial [B, N] with N = n (n + 1) / 2 tiles of
//         64 x 64 and n = ceil(P / 64).
//
// G is symmetric: a workgroup takes one tile on or above the diagonal, 4 x 4
// values an invocation.

struct Params {
    images: u32,
    tokens: u32,
    dim: u32,
    prefix: u32,
    // Elements before the first image in a and c.
    base: u32,
    other_base: u32,
    // Images before the first one, for the norms, `partial` and `out`.
    first_image: u32,
    // Tiles along one side.
    tiles: u32,
    // Elements before the first image in `out` of `gram`.
    out_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> norms_a: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> norms_c: array<f32>;
@group(0) @binding(5) var<storage, read_write> partial: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;
// Of four rows or columns.
const GROUPS: u32 = 16u;

// Slices of the tokens of a tile's rows and columns, [DEPTH, GROUPS].
var<workgroup> row_tile: array<vec4<f32>, 256>;
var<workgroup> column_tile: array<vec4<f32>, 256>;
var<workgroup> sums: array<f32, 256>;

fn patches() -> u32 {
    return params.tokens - params.prefix;
}

// The 4 x 4 products of an invocation, one vector a row: rows 4 (lane / 16) + i,
// columns 4 (lane % 16) + j of the tile.
struct Products {
    rows: array<vec4<f32>, 4>,
}

fn accumulate(lane: u32, so_far: Products) -> Products {
    var products = so_far;
    for (var line = 0u; line < DEPTH; line = line + 1u) {
        let rows = row_tile[line * GROUPS + lane / GROUPS];
        let columns = column_tile[line * GROUPS + lane % GROUPS];
        products.rows[0] = products.rows[0] + rows.x * columns;
        products.rows[1] = products.rows[1] + rows.y * columns;
        products.rows[2] = products.rows[2] + rows.z * columns;
        products.rows[3] = products.rows[3] + rows.w * columns;
    }
    return products;
}

// WGSL cannot pass a buffer to a function, so a and c have a set each.
fn a_at(image: u32, patch_index: u32, k: u32) -> f32 {
    if patch_index < patches() && k < params.dim {
        let token = image * params.tokens + params.prefix + patch_index;
        return a[params.base + token * params.dim + k];
    }
    return 0.0;
}

fn four_of_a(image: u32, first: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(
        a_at(image, first, k),
        a_at(image, first + 1u, k),
        a_at(image, first + 2u, k),
        a_at(image, first + 3u, k),
    );
}

fn products_of_a(image: u32, row0: u32, column0: u32, lane: u32) -> Products {
    var products = Products();
    let line = lane % DEPTH;
    let within = 4u * (lane / DEPTH);
    for (var k0 = 0u; k0 < params.dim; k0 = k0 + DEPTH) {
        row_tile[line * GROUPS + lane / DEPTH] = four_of_a(image, row0 + within, k0 + line);
        column_tile[line * GROUPS + lane / DEPTH] = four_of_a(image, column0 + within, k0 + line);
        workgroupBarrier();
        products = accumulate(lane, products);
        workgroupBarrier();
    }
    return products;
}

fn c_at(image: u32, patch_index: u32, k: u32) -> f32 {
    if patch_index < patches() && k < params.dim {
        let token = image * params.tokens + params.prefix + patch_index;
        return c[params.other_base + token * params.dim + k];
    }
    return 0.0;
}

fn four_of_c(image: u32, first: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(
        c_at(image, first, k),
        c_at(image, first + 1u, k),
        c_at(image, first + 2u, k),
        c_at(image, first + 3u, k),
    );
}

fn products_of_c(image: u32, row0: u32, column0: u32, lane: u32) -> Products {
    var products = Products();
    let line = lane % DEPTH;
    let within = 4u * (lane / DEPTH);
    for (var k0 = 0u; k0 < params.dim; k0 = k0 + DEPTH) {
        row_tile[line * GROUPS + lane / DEPTH] = four_of_c(image, row0 + within, k0 + line);
        column_tile[line * GROUPS + lane / DEPTH] = four_of_c(image, column0 + within, k0 + line);
        workgroupBarrier();
        products = accumulate(lane, products);
        workgroupBarrier();
    }
    return products;
}

@compute @workgroup_size(256)
fn gram(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if group.x < group.y {
        return;
    }
    let image = group.z;
    let row0 = group.y * TILE;
    let column0 = group.x * TILE;
    let products = products_of_a(image, row0, column0, lane);
    let first = (params.first_image + image) * patches();
    let start = params.out_base + image * patches() * patches();
    for (var i = 0u; i < 4u; i = i + 1u) {
        let row = row0 + 4u * (lane / GROUPS) + i;
        let values = products.rows[i];
        for (var j = 0u; j < 4u; j = j + 1u) {
            let column = column0 + 4u * (lane % GROUPS) + j;
            if row < patches() && column < patches() {
                let scale = max(norms_a[first + row] * norms_a[first + column], 1e-24);
                let value = values[j] / scale;
                out[start + row * patches() + column] = value;
                if group.x != group.y {
                    out[start + column * patches() + row] = value;
                }
            }
        }
    }
}

@compute @workgroup_size(256)
fn gram_distance(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if group.x < group.y {
        return;
    }
    let image = group.z;
    let row0 = group.y * TILE;
    let column0 = group.x * TILE;
    let of_a = products_of_a(image, row0, column0, lane);
    let of_c = products_of_c(image, row0, column0, lane);
    let first = (params.first_image + image) * patches();
    var sum = 0.0;
    for (var i = 0u; i < 4u; i = i + 1u) {
        let row = row0 + 4u * (lane / GROUPS) + i;
        let values_a = of_a.rows[i];
        let values_c = of_c.rows[i];
        for (var j = 0u; j < 4u; j = j + 1u) {
            let column = column0 + 4u * (lane % GROUPS) + j;
            if row < patches() && column < patches() {
                let scale_a = max(norms_a[first + row] * norms_a[first + column], 1e-24);
                let scale_c = max(norms_c[first + row] * norms_c[first + column], 1e-24);
                let difference = values_a[j] / scale_a - values_c[j] / scale_c;
                sum = sum + difference * difference;
            }
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var step = 128u; step > 0u; step = step / 2u) {
        if lane < step {
            sums[lane] = sums[lane] + sums[lane + step];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        // A tile off the diagonal stands for its mirror image, too.
        let weight = select(2.0, 1.0, group.x == group.y);
        let count = params.tiles * (params.tiles + 1u) / 2u;
        let tile = group.x * (group.x + 1u) / 2u + group.y;
        partial[(params.first_image + image) * count + tile] = weight * sums[0];
    }
}

@compute @workgroup_size(256)
fn gram_sum(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image = group.y * groups.x + group.x;
    if image >= params.images {
        return;
    }
    let count = params.tiles * (params.tiles + 1u) / 2u;
    var sum = 0.0;
    for (var tile = lane; tile < count; tile = tile + 256u) {
        sum = sum + partial[image * count + tile];
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var step = 128u; step > 0u; step = step / 2u) {
        if lane < step {
            sums[lane] = sums[lane] + sums[lane + step];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        out[image] = sums[0] / f32(patches() * patches());
    }
}
