use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::vit::Vit;

/// New projections with bias from the student's width to the teacher's, on the
/// student's device: PyTorch's start of a linear layer, uniform ±1/√fan_in, with
/// the host's numbers so that a seed means the same on every device.
pub fn new_projections(count: usize, student: &Vit, teacher: &Vit, seed: u64) -> Vec<Linear> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x70_726f_6a65_6374);
    let (from, to) = (student.embed_dim(), teacher.embed_dim());
    let device = student.device();
    (0..count).map(|_| projection(from, to, &mut rng, &device)).collect()
}

fn projection(from: usize, to: usize, rng: &mut ChaCha8Rng, device: &Device) -> Linear {
    let bound = 1.0 / (from as f32).sqrt();
    let mut draw = |count: usize| -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-bound..bound)).collect()
    };
    let (weight, bias) = (draw(from * to), draw(to));
    let mut linear = LinearConfig::new(from, to).init(device);
    let weight = Tensor::<2>::from_data(TensorData::new(weight, [from, to]), device);
    let bias = Tensor::<1>::from_data(TensorData::new(bias, [to]), device);
    linear.weight = Param::from_tensor(weight);
    linear.bias = Some(Param::from_tensor(bias));
    linear
}

/// A projection under its layer's name, in PyTorch's layout `[out, in]`.
pub(super) fn projection_parts(
    prefix: &str,
    layer: usize,
    projection: &Linear,
) -> Vec<(String, TensorData)> {
    let weight = projection.weight.val().transpose().into_data();
    let bias = projection.bias.as_ref().map(|bias| bias.val().into_data());
    let named = |what: &str, data| (format!("{prefix}.{layer}.{what}"), data);
    std::iter::once(named("weight", weight)).chain(bias.map(|bias| named("bias", bias))).collect()
}
