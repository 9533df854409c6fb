use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::error::Result;
use crate::nullspace::{Basis, Selection, linearise, reader_of};
use crate::refine::Adapter;
use crate::vit::Vit;

/// Everything that distillation trains.
#[derive(Module, Debug)]
pub struct Trainee {
    /// The student.
    pub student: Vit,
    /// One for each distilled layer: how the teacher's features are refined.
    pub adapters: Vec<Adapter>,
    /// One for each distilled layer: student width to teacher width, with bias.
    pub projections: Vec<Linear>,
}

/// How an adapter's basis came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BasisReport {
    /// The teacher block whose output is refined.
    pub layer: usize,
    /// The block that was linearised.
    pub reader: usize,
    /// Largest singular value of the linearised block.
    pub sigma_max: f64,
    /// Smallest singular value.
    pub sigma_min: f64,
    /// `‖N^T W̃‖₂`.
    pub residual: f64,
    /// Basis vectors that are random because the rule found too few.
    pub random_columns: usize,
}

impl Trainee {
    /// Puts a student together with adapters from the teacher's weights and new
    /// projection heads, on the student's device.
    ///
    /// `layers` are teacher blocks as [`Settings::resolve_layers`] gives them.
    ///
    /// # Errors
    /// As [`Basis::select`].
    pub fn new(
        student: Vit,
        teacher: &Vit,
        layers: &[usize],
        settings: &Settings,
        seed: u64,
    ) -> Result<(Self, Vec<BasisReport>)> {
        let device = student.device();
        let mut adapters = Vec::with_capacity(layers.len());
        let mut reports = Vec::with_capacity(layers.len());
        for &layer in layers {
            let reader = reader_of(layer, teacher.depth());
            let selection = Selection {
                kind: settings.basis,
                rank: settings.rank,
                threshold: settings.threshold,
                seed,
            };
            let block = linearise(&teacher.blocks[reader]);
            let basis = Basis::select(block.as_ref(), &selection, reader)?;
            adapters.push(Adapter::from_basis(&basis, &device));
            reports.push(BasisReport {
                layer,
                reader,
                sigma_max: basis.spectrum.first().copied().unwrap_or_default(),
                sigma_min: basis.spectrum.last().copied().unwrap_or_default(),
                residual: basis.residual,
                random_columns: basis.random_columns,
            });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x70_726f_6a65_6374);
        let (from, to) = (student.embed_dim(), teacher.embed_dim());
        let projections = layers.iter().map(|_| projection(from, to, &mut rng, &device)).collect();
        Ok((Self { student, adapters, projections }, reports))
    }
}

/// PyTorch's start of a linear layer, uniform ±1/√fan_in, with the host's
/// numbers so that a seed means the same on every device.
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
