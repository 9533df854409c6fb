use burn::module::Param;
use burn::nn::{LayerNormConfig, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Distribution};

use super::*;

/// Images: few, and so many that sums over tokens are done in parts.
const BATCHES: [usize; 2] = [2, 160];
const TOKENS: usize = 7;
const HEADS: usize = 2;
const DIM: usize = 12;
const WIDE: usize = 20;
const EPSILON: f64 = 1e-6;

struct Case {
    batch: usize,
    norm: LayerNorm,
    qkv: Linear,
    fc1: Linear,
    fc2: Linear,
    x: Tensor<2>,
    /// What the results are weighed with, so that their gradient differs from place to place.
    weights: Tensor<2>,
}

impl Case {
    fn new(device: &Device, batch: usize) -> Self {
        device.seed(7);
        let random = |shape: [usize; 2]| {
            Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &device.clone().inner())
        };
        let vector = |width: usize| random([1, width]).reshape([width]);
        let tracked = |tensor: Tensor<2>| Tensor::from_inner(tensor).require_grad();
        let linear = |from: usize, to: usize| {
            let mut linear = LinearConfig::new(from, to).init(device);
            linear.weight = Param::from_tensor(tracked(random([from, to]) * 0.3));
            linear.bias = Some(Param::from_tensor(Tensor::from_inner(vector(to)).require_grad()));
            linear
        };
        let mut norm = LayerNormConfig::new(DIM).with_epsilon(EPSILON).init(device);
        norm.gamma = Param::from_tensor(Tensor::from_inner(vector(DIM) + 1.0).require_grad());
        norm.beta = Some(Param::from_tensor(Tensor::from_inner(vector(DIM)).require_grad()));
        Self {
            batch,
            norm,
            qkv: linear(DIM, 3 * DIM),
            fc1: linear(DIM, WIDE),
            fc2: linear(WIDE, DIM),
            x: tracked(random([batch * TOKENS, DIM]) * 3.0),
            weights: Tensor::from_inner(random([batch * TOKENS, DIM])),
        }
    }

    fn ours(&self, precision: Precision) -> Tensor<2> {
        let Self { batch, norm, qkv, fc1, fc2, .. } = self;
        let x = self.x.clone();
        let qkv = norm_linear(x.clone(), norm, EPSILON, qkv, None, precision);
        let x = x + attention(qkv, *batch, HEADS).cast(FloatDType::F32);
        gelu_linear(norm_linear(x, norm, EPSILON, fc1, None, precision), fc2)
    }

    fn by_burn(&self) -> Tensor<2> {
        let x = self.x.clone();
        let qkv = self.qkv.forward(self.norm.forward(x.clone()));
        let qkv = qkv.reshape([self.batch, TOKENS, 3, HEADS, DIM / HEADS]).permute([2, 0, 3, 1, 4]);
        let [query, key, value] =
            [0, 1, 2].map(|part| qkv.clone().narrow(0, part, 1).squeeze_dim::<4>(0));
        let scale = ((DIM / HEADS) as f64).sqrt();
        let mixed = softmax(query.matmul(key.transpose()) / scale, 3).matmul(value);
        let x = x + mixed.swap_dims(1, 2).reshape([self.batch * TOKENS, DIM]);
        let hidden = self.fc1.forward(self.norm.forward(x));
        // burn's gradient of GELU on GPUs is that of its approximation by tanh.
        let active = hidden.clone() * ((hidden / 2f64.sqrt()).erf() + 1.0) / 2.0;
        self.fc2.forward(active)
    }

    /// The result, and the gradients of everything that is tracked.
    fn run(&self, result: Tensor<2>) -> Vec<Vec<f32>> {
        let values = result.clone().inner().into_data().iter().collect();
        let gradients = (result * self.weights.clone()).sum().backward();
        let mut all: Vec<Vec<f32>> = vec![values];
        let mut add = |gradient: Option<burn::tensor::TensorData>| {
            all.push(gradient.expect("a gradient").iter().collect());
        };
        add(self.x.grad(&gradients).map(Tensor::into_data));
        for layer in [&self.qkv, &self.fc1, &self.fc2] {
            add(layer.weight.grad(&gradients).map(Tensor::into_data));
            let bias = layer.bias.as_ref().expect("a bias");
            add(bias.grad(&gradients).map(Tensor::into_data));
        }
        add(self.norm.gamma.grad(&gradients).map(Tensor::into_data));
        add(self.norm.beta.as_ref().expect("a bias").grad(&gradients).map(Tensor::into_data));
        all
    }
}

/// The largest difference in L2 norm relative to `wanted`.
fn difference(ours: &[Vec<f32>], wanted: &[Vec<f32>]) -> f64 {
    assert_eq!(ours.len(), wanted.len());
    let of = |(a, b): (&Vec<f32>, &Vec<f32>)| {
        assert_eq!(a.len(), b.len());
        let square = |x: f32| f64::from(x).powi(2);
        let apart: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
        let size: f64 = b.iter().map(|&b| square(b)).sum();
        (apart / size).sqrt()
    };
    let all: Vec<f64> = ours.iter().zip(wanted).map(of).collect();
    assert!(all.iter().all(|one| one.is_finite()), "{all:?}");
    all.into_iter().fold(0.0, f64::max)
}

fn on_every_device(check: impl Fn(&Device)) {
    check(&crate::device::Device::cpu().autodiff());
    let software =
        crate::device::Device::open("software").expect("software Vulkan must be installed");
    check(&software.autodiff());
}

#[test]
fn operations_and_their_gradients_equal_burns_own() {
    on_every_device(|device| {
        for batch in BATCHES {
            let case = Case::new(device, batch);
            let apart = difference(&case.run(case.ours(Precision::F32)), &case.run(case.by_burn()));
            assert!(apart < 1e-5, "{apart:e} of {batch} images on {device:?}");
        }
    });
}

#[test]
fn products_of_halves_stay_near_those_of_f32() {
    let device = &crate::device::Device::cpu().autodiff();
    for batch in BATCHES {
        let case = Case::new(device, batch);
        let exact = case.run(case.by_burn());
        for (precision, bound) in [(Precision::F16, 4e-3), (Precision::Bf16, 3e-2)] {
            let apart = difference(&case.run(case.ours(precision)), &exact);
            // A difference of f32 alone would say that halves were never used.
            assert!((1e-5..bound).contains(&apart), "{apart:e} in {precision:?}");
        }
    }
}

#[test]
fn a_frozen_layer_passes_gradients_on_to_its_input() {
    on_every_device(|device| {
        let mut case = Case::new(device, BATCHES[0]);
        let wanted = case.run(case.by_burn())[1].clone();
        for layer in [&mut case.qkv, &mut case.fc1, &mut case.fc2] {
            *layer = burn::module::Module::freeze(layer.clone());
        }
        case.norm = burn::module::Module::freeze(case.norm.clone());
        let gradients = (case.ours(Precision::F32) * case.weights.clone()).sum().backward();
        let ours = case.x.grad(&gradients).expect("a gradient").into_data();
        let apart = difference(&[ours.iter().collect()], &[wanted]);
        assert!(apart < 1e-5, "{apart:e} on {device:?}");
        assert!(case.fc1.weight.grad(&gradients).is_none());
    });
}
