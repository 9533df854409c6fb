//! Weights of a new model.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::model::Vit;

/// Sets a model's weights as timm does for a new one: truncated normal (0.02)
/// for linear weights and position embedding, 1e-6 for the class and register
/// tokens, 1/√D for the pool's query, uniform ±1/√fan_in for the patch convolution, zero for biases.
///
/// The numbers come from the host, so a seed gives the same weights on every
/// device.
pub fn init_weights(model: Vit, seed: u64) -> Vit {
    model.map(&mut Init { rng: ChaCha8Rng::seed_from_u64(seed), path: Vec::new() })
}

/// Draws a value for each parameter by its path.
struct Init {
    rng: ChaCha8Rng,
    path: Vec<String>,
}

impl Init {
    fn value(&mut self, shape: [usize; 4], rank: usize) -> Option<Vec<f32>> {
        let count = shape[..rank].iter().product();
        let path = self.path.join(".");
        let fan_in: usize = shape[1..rank].iter().product();
        let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
        let mut draw = |f: &mut dyn FnMut(&mut ChaCha8Rng) -> f32| {
            (0..count).map(|_| f(&mut self.rng)).collect()
        };
        Some(match path.as_str() {
            "patch_embed.proj.weight" => draw(&mut |rng| rng.random_range(-bound..bound)),
            "cls_token" | "reg_token" => draw(&mut |rng| truncated_normal(rng, 1e-6)),
            "pos_embed" => draw(&mut |rng| truncated_normal(rng, 0.02)),
            "attn_pool.latent" => {
                let std = 1.0 / (shape[2] as f32).sqrt();
                draw(&mut |rng| truncated_normal(rng, std))
            }
            path if path.ends_with(".weight") && rank == 2 => {
                draw(&mut |rng| truncated_normal(rng, 0.02))
            }
            path if path.ends_with(".bias") => vec![0.0; count],
            _ => return None,
        })
    }
}

impl ModuleMapper for Init {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let dims = param.lazy_shape().dims::<D>();
        let mut shape = [1; 4];
        shape[..D].copy_from_slice(&dims);
        match self.value(shape, D) {
            Some(values) => {
                let device: Device = param.lazy_device();
                let data = TensorData::new(values, dims);
                param.map(|_| {
                    Tensor::from_data(data, &device).set_require_grad(device.is_autodiff())
                })
            }
            None => param,
        }
    }
}

/// A normal number with standard deviation `std`, drawn again beyond two of them.
fn truncated_normal(rng: &mut impl Rng, std: f32) -> f32 {
    loop {
        let z: f32 = StandardNormal.sample(rng);
        if z.abs() <= 2.0 {
            return z * std;
        }
    }
}
