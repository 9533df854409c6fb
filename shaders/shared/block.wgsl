// Blocks of four rows and four columns, which an invocation of a matrix product sums
// up in registers.

// One vector of four columns a row: `block[i]` is row i.
alias Block = mat4x4<f32>;

// Four values of one row times four lines of weights.
fn times(values: vec4<f32>, weights: Block) -> vec4<f32> {
    return values.x * weights[0] + values.y * weights[1] + values.z * weights[2] + values.w * weights[3];
}

fn add_product(sums: Block, rows: Block, weights: Block) -> Block {
    return Block(
        sums[0] + times(rows[0], weights),
        sums[1] + times(rows[1], weights),
        sums[2] + times(rows[2], weights),
        sums[3] + times(rows[3], weights),
    );
}

// One value of each row times one vector of columns.
fn outer(values: vec4<f32>, columns: vec4<f32>) -> Block {
    return Block(values.x * columns, values.y * columns, values.z * columns, values.w * columns);
}
