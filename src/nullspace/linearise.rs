use burn::tensor::Tensor;
use faer::Mat;

use crate::error::Result;
use crate::readback::read_async;
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
#[cfg(not(target_family = "wasm"))]
pub fn linearise(block: &Block) -> Mat<f64> {
    let host = |weight: Tensor<2>| {
        let shape = weight.dims();
        matrix(&weight.into_data().iter::<f32>().collect::<Vec<_>>(), shape)
    };
    let [fc1, fc2] = factors(block);
    host(fc1) * host(fc2)
}

/// As `linearise`, without blocking the thread, which a browser does not allow.
///
/// # Errors
/// [`Error::Gpu`](crate::Error::Gpu).
pub async fn linearise_async(block: &Block) -> Result<Mat<f64>> {
    let [fc1, fc2] = factors(block);
    let shapes = [fc1.dims(), fc2.dims()];
    let values = [read_async(fc1).await?, read_async(fc2).await?];
    Ok(matrix(&values[0], shapes[0]) * matrix(&values[1], shapes[1]))
}

/// burn stores `[in, out]`, the transpose of the formula's matrices.
fn factors(block: &Block) -> [Tensor<2>; 2] {
    let fc1 = block.mlp.fc1.weight.val();
    let values = match block.mlp.activation().is_gated() {
        false => fc1,
        true => {
            let half = fc1.dims()[1] / 2;
            fc1.narrow(1, half, half)
        }
    };
    [values, block.mlp.fc2.weight.val()]
}

fn matrix(values: &[f32], [rows, cols]: [usize; 2]) -> Mat<f64> {
    Mat::from_fn(rows, cols, |i, j| f64::from(values[i * cols + j]))
}
