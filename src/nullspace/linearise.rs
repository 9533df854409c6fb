use burn::tensor::Tensor;
use faer::Mat;

use crate::vit::Block;

/// The block that reads the tokens leaving block `layer`: the next one, and for
/// the last block that block itself.
pub fn reader_of(layer: usize, depth: usize) -> usize {
    (layer + 1).min(depth - 1)
}

/// A block's linearisation `W̃ = (W_fc2 W_fc1)^T`, `[D, D]`, in f64: a row
/// vector `x W̃` is what the MLP would give without bias and activation.
///
/// A SwiGLU gives `fc2(silu(gate) * value)`. Without its activation, which is the
/// gate, `fc2(value)` is left, so `W_fc1` is the half that makes the values: what
/// lies in the left nullspace of the result changes no value, though it may change
/// gates.
pub fn linearise(block: &Block) -> Mat<f64> {
    // burn stores `[in, out]`, the transpose of the formula's matrices.
    let fc1 = block.mlp.fc1.weight.val();
    let values = match block.mlp.kind().is_plain() {
        true => fc1,
        false => {
            let half = fc1.dims()[1] / 2;
            fc1.narrow(1, half, half)
        }
    };
    host_matrix(values) * host_matrix(block.mlp.fc2.weight.val())
}

fn host_matrix(weight: Tensor<2>) -> Mat<f64> {
    let [rows, cols] = weight.dims();
    let values: Vec<f32> = weight.into_data().iter::<f32>().collect();
    Mat::from_fn(rows, cols, |i, j| f64::from(values[i * cols + j]))
}
