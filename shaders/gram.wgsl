// gram: the Gram matrix of patch tokens scaled to unit length, and the mean
// squared difference of two of them, of which neither is stored.
//
//   G(x)[b, i, j] = x[b, i] . x[b, j] / max(|x[b, i]| |x[b, j]|, 1e-24)
//   gram:          out[b] = G(a)[b]
//   gram_distance: partial_sums[b, tile] = sum over a tile of (G(a) - G(c))^2
//   gram_sum:      out[b] = sum_tile partial_sums[b, tile] / P^2
//
// Input:  a and, with the flag `distance`, c [B, T, D] (patch_norm's norms_a and
//         norms_c [B, P] beside them); the first `prefix` tokens are skipped.
// Output: out [B, P, P] or [B]; partial_sums [B, N] with N = n (n + 1) / 2 tiles of
//         TILE x TILE and n = ceil(P / TILE).
//
// G is symmetric: a workgroup takes one tile on or above the diagonal, 4 x 4
// values an invocation.

#import block
#import reduce
#import spread
#import token_batch

struct Params {
    a: TokenBatch,
    c: TokenBatch,
    // Tiles along one side.
    tiles: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> norms_a: array<f32>;
#ifdef distance
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> norms_c: array<f32>;
@group(0) @binding(5) var<storage, read_write> partial_sums: array<f32>;
#endif
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

#host TILE
const DEPTH: u32 = 16u;
// Of four rows or columns.
const GROUPS: u32 = TILE / 4u;
const WORKGROUP: u32 = GROUPS * GROUPS;
// An invocation loads one vector of a slice.
const_assert WORKGROUP == DEPTH * GROUPS;

// Slices of the tokens of a tile's rows and columns, [DEPTH, GROUPS].
var<workgroup> row_tile: array<vec4<f32>, DEPTH * GROUPS>;
var<workgroup> column_tile: array<vec4<f32>, DEPTH * GROUPS>;

const LANES: u32 = WORKGROUP;
alias Partial = f32;

fn combine(a: Partial, b: Partial) -> Partial {
    return a + b;
}

// A value of a, or of c; WGSL cannot pass a buffer to a function.
fn value_at(of_c: bool, index: u32) -> f32 {
#ifdef distance
    if of_c {
        return c[index];
    }
#endif
    return a[index];
}

// Value k of patch `first` and of the three after it, zeros beyond the last; `start` is
// the element at which patch `first` starts.
fn four_at(of_c: bool, start: u32, first: u32, k: u32) -> vec4<f32> {
    var four = vec4<f32>(0.0);
    if k < params.a.dim {
        let at = start + k;
        if first < params.a.patches {
            four.x = value_at(of_c, at);
        }
        if first + 1u < params.a.patches {
            four.y = value_at(of_c, at + params.a.dim);
        }
        if first + 2u < params.a.patches {
            four.z = value_at(of_c, at + 2u * params.a.dim);
        }
        if first + 3u < params.a.patches {
            four.w = value_at(of_c, at + 3u * params.a.dim);
        }
    }
    return four;
}

// The products of rows 4 (lane / GROUPS) + i and columns 4 (lane % GROUPS) + j of the
// tile.
fn products(of_c: bool, image: u32, row0: u32, column0: u32, lane: u32) -> Block {
    var products = Block();
    let line = lane % DEPTH;
    let within = lane / DEPTH;
    let row = row0 + 4u * within;
    let column = column0 + 4u * within;
    var row_start = patch_start(params.a, image, row);
    var column_start = patch_start(params.a, image, column);
    if of_c {
        row_start = patch_start(params.c, image, row);
        column_start = patch_start(params.c, image, column);
    }
    for (var k0 = 0u; k0 < params.a.dim; k0 = k0 + DEPTH) {
        row_tile[line * GROUPS + within] = four_at(of_c, row_start, row, k0 + line);
        column_tile[line * GROUPS + within] = four_at(of_c, column_start, column, k0 + line);
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k = k + 1u) {
            let rows = row_tile[k * GROUPS + lane / GROUPS];
            let columns = column_tile[k * GROUPS + lane % GROUPS];
            products = products + outer(rows, columns);
        }
        workgroupBarrier();
    }
    return products;
}

#ifdef distance
@compute @workgroup_size(WORKGROUP)
fn gram_distance(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if group.x < group.y {
        return;
    }
    let image = group.z;
    let row0 = group.y * TILE;
    let column0 = group.x * TILE;
    let patches = params.a.patches;
    let of_a = products(false, image, row0, column0, lane);
    let of_c = products(true, image, row0, column0, lane);
    let first = (params.a.first_image + image) * patches;
    var sum = 0.0;
    for (var i = 0u; i < 4u; i = i + 1u) {
        let row = row0 + 4u * (lane / GROUPS) + i;
        let values_a = of_a[i];
        let values_c = of_c[i];
        for (var j = 0u; j < 4u; j = j + 1u) {
            let column = column0 + 4u * (lane % GROUPS) + j;
            if row < patches && column < patches {
                let scale_a = max(norms_a[first + row] * norms_a[first + column], 1e-24);
                let scale_c = max(norms_c[first + row] * norms_c[first + column], 1e-24);
                let difference = values_a[j] / scale_a - values_c[j] / scale_c;
                sum = sum + difference * difference;
            }
        }
    }
    let total = reduce(sum, lane);
    if lane == 0u {
        // A tile off the diagonal stands for its mirror image, too.
        let weight = select(2.0, 1.0, group.x == group.y);
        let count = params.tiles * (params.tiles + 1u) / 2u;
        let tile = group.x * (group.x + 1u) / 2u + group.y;
        partial_sums[(params.a.first_image + image) * count + tile] = weight * total;
    }
}

@compute @workgroup_size(WORKGROUP)
fn gram_sum(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image = piece_of(group, groups);
    if image >= params.a.images {
        return;
    }
    let count = params.tiles * (params.tiles + 1u) / 2u;
    var sum = 0.0;
    for (var tile = lane; tile < count; tile = tile + WORKGROUP) {
        sum = sum + partial_sums[image * count + tile];
    }
    let total = reduce(sum, lane);
    if lane == 0u {
        out[image] = total / f32(params.a.patches * params.a.patches);
    }
}
#else
@compute @workgroup_size(WORKGROUP)
fn gram(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if group.x < group.y {
        return;
    }
    let image = group.z;
    let row0 = group.y * TILE;
    let column0 = group.x * TILE;
    let patches = params.a.patches;
    let of_a = products(false, image, row0, column0, lane);
    let first = (params.a.first_image + image) * patches;
    let start = params.a.out_base + image * patches * patches;
    for (var i = 0u; i < 4u; i = i + 1u) {
        let row = row0 + 4u * (lane / GROUPS) + i;
        let values = of_a[i];
        for (var j = 0u; j < 4u; j = j + 1u) {
            let column = column0 + 4u * (lane % GROUPS) + j;
            if row < patches && column < patches {
                let scale = max(norms_a[first + row] * norms_a[first + column], 1e-24);
                let value = values[j] / scale;
                out[start + row * patches + column] = value;
                if group.x != group.y {
                    out[start + column * patches + row] = value;
                }
            }
        }
    }
}
#endif
