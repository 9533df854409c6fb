use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::error::Result;
use crate::readback::read;
use crate::train::{OptimizerSettings, ParamOptimizer};

/// Standard deviation of a new head's weights.
const INITIAL: f32 = 0.01;

/// A linear head: `y = x Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct LinearHead {
    /// `[C, D]`, as PyTorch keeps it.
    pub weight: Tensor<2>,
    /// `[C]`.
    pub bias: Tensor<1>,
}

impl LinearHead {
    /// A new head from D inputs to C outputs: normal weights of standard deviation 0.01,
    /// the same for a seed on every device, and zero bias.
    pub fn new(inputs: usize, outputs: usize, seed: u64, device: &Device) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let weights: Vec<f32> = match Normal::new(0.0, INITIAL) {
            Ok(normal) => (0..inputs * outputs).map(|_| normal.sample(&mut rng)).collect(),
            Err(_) => vec![0.0; inputs * outputs],
        };
        Self {
            weight: Tensor::from_data(TensorData::new(weights, [outputs, inputs]), device),
            bias: Tensor::zeros([outputs], device),
        }
    }

    /// Number of outputs C.
    pub fn outputs(&self) -> usize {
        self.bias.dims()[0]
    }

    /// `[N, D] -> [N, C]`.
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        rows.matmul(self.weight.clone().transpose()) + self.bias.clone().unsqueeze_dim(0)
    }

    /// The outputs of rows, `[N, D]` row-major, on the host: `[N, C]` row-major.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu).
    pub fn outputs_of(&self, rows: Vec<f32>) -> Result<Vec<f32>> {
        read(self.forward(self.tensor(rows)))
    }

    /// Rows, `[N, D]` row-major, on the head's device.
    pub fn tensor(&self, rows: Vec<f32>) -> Tensor<2> {
        let dim = self.weight.dims()[1];
        let shape = [rows.len() / dim, dim];
        Tensor::from_data(TensorData::new(rows, shape), &self.weight.device())
    }

    /// Weight `[C, D]` and bias `[C]` under the names `weight` and `bias`.
    pub fn to_tensors(&self) -> BTreeMap<String, TensorData> {
        let weight = self.weight.clone().into_data();
        let bias = self.bias.clone().into_data();
        BTreeMap::from([("weight".to_owned(), weight), ("bias".to_owned(), bias)])
    }
}

/// A head with its optimiser.
pub struct HeadTrainer {
    /// The head as it is now.
    pub head: LinearHead,
    optimizer: ParamOptimizer,
}

impl HeadTrainer {
    /// A trainer of `head`; weight decay applies to weight and bias, as in PyTorch.
    pub fn new(head: LinearHead, settings: &OptimizerSettings) -> Self {
        Self { head, optimizer: ParamOptimizer::new(settings) }
    }

    /// One step at the learning rate `rate`: `rows` `[N, D]` were the inputs, `gradient`
    /// `[N, C]` is the loss' gradient with respect to the outputs.
    pub fn step(&mut self, rows: Tensor<2>, gradient: Tensor<2>, rate: f64) {
        let bias = gradient.clone().sum_dim(0).squeeze_dim(0);
        let weight = gradient.transpose().matmul(rows);
        let LinearHead { weight: old_weight, bias: old_bias } = self.head.clone();
        self.head = LinearHead {
            weight: self.optimizer.step_tensor("weight", rate, old_weight, weight),
            bias: self.optimizer.step_tensor("bias", rate, old_bias, bias),
        };
    }
}
