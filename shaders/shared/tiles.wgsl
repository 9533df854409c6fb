// A matrix product by tiles in workgroup memory: ROWS rows times COLUMNS columns,
// DEPTH values of the inner dimension at a time.
//
// Whoever imports it declares WORKGROUP, ROWS and COLUMNS.

#import block

const DEPTH: u32 = 16u;
// Vectors of four along the depth, and along the columns.
const DEPTH_GROUPS: u32 = DEPTH / 4u;
const COLUMN_GROUPS: u32 = COLUMNS / 4u;
const LEFT_SLOTS: u32 = ROWS * DEPTH_GROUPS;
const RIGHT_SLOTS: u32 = DEPTH * COLUMN_GROUPS;
// Slots that an invocation fills: `lane`, `lane + WORKGROUP`, ...
const LEFT_LOADS: u32 = LEFT_SLOTS / WORKGROUP;
const RIGHT_LOADS: u32 = RIGHT_SLOTS / WORKGROUP;
const_assert LEFT_SLOTS % WORKGROUP == 0u && RIGHT_SLOTS % WORKGROUP == 0u;

// [ROWS, DEPTH_GROUPS] of the left matrix.
var<workgroup> left_tile: array<vec4<f32>, LEFT_SLOTS>;
// [DEPTH, COLUMN_GROUPS] of the right one.
var<workgroup> right_tile: array<vec4<f32>, RIGHT_SLOTS>;

// Four rows of the left tile from `row` on, four values each.
fn left_block(row: u32, depth_group: u32) -> Block {
    let at = row * DEPTH_GROUPS + depth_group;
    return Block(
        left_tile[at],
        left_tile[at + DEPTH_GROUPS],
        left_tile[at + 2u * DEPTH_GROUPS],
        left_tile[at + 3u * DEPTH_GROUPS],
    );
}

// Four lines of the right tile, four columns each.
fn right_block(depth_group: u32, column_group: u32) -> Block {
    let at = 4u * depth_group * COLUMN_GROUPS + column_group;
    return Block(
        right_tile[at],
        right_tile[at + COLUMN_GROUPS],
        right_tile[at + 2u * COLUMN_GROUPS],
        right_tile[at + 3u * COLUMN_GROUPS],
    );
}
