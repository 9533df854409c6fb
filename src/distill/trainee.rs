use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Device;
use faer::Mat;
use serde::{Deserialize, Serialize};

use super::Settings;
#[cfg(not(target_family = "wasm"))]
use super::projections;
use crate::error::Result;
#[cfg(not(target_family = "wasm"))]
use crate::nullspace::linearise;
use crate::nullspace::{Basis, Selection, linearise_async, reader_of};
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

#[cfg(not(target_family = "wasm"))]
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
        let (adapters, reports) = adapters(teacher, layers, settings, seed, &student.device())?;
        Ok((Self::with_adapters(student, teacher, adapters, seed), reports))
    }

    /// Puts a student together with adapters that are there already, one for each
    /// distilled layer, and new projection heads, on the student's device.
    pub fn with_adapters(student: Vit, teacher: &Vit, adapters: Vec<Adapter>, seed: u64) -> Self {
        let projections = projections(adapters.len(), &student, teacher, seed);
        Self { student, adapters, projections }
    }
}

/// Adapters of a teacher's layers at their start on `device`, and how their bases
/// came out.
///
/// # Errors
/// As [`Basis::select`].
#[cfg(not(target_family = "wasm"))]
pub fn adapters(
    teacher: &Vit,
    layers: &[usize],
    settings: &Settings,
    seed: u64,
    device: &Device,
) -> Result<(Vec<Adapter>, Vec<BasisReport>)> {
    let started = layers.iter().map(|&layer| {
        let reader = reader_of(layer, teacher.depth());
        let block = linearise(&teacher.blocks[reader]);
        adapter(layer, reader, &block, settings, seed, device)
    });
    let started: Vec<_> = started.collect::<Result<_>>()?;
    Ok(started.into_iter().unzip())
}

/// As `adapters`, without blocking the thread, which a browser does not allow.
///
/// # Errors
/// As `adapters`, and [`Error::Gpu`](crate::Error::Gpu).
pub async fn adapters_async(
    teacher: &Vit,
    layers: &[usize],
    settings: &Settings,
    seed: u64,
    device: &Device,
) -> Result<(Vec<Adapter>, Vec<BasisReport>)> {
    let mut started = Vec::with_capacity(layers.len());
    for &layer in layers {
        let reader = reader_of(layer, teacher.depth());
        let block = linearise_async(&teacher.blocks[reader]).await?;
        started.push(adapter(layer, reader, &block, settings, seed, device)?);
    }
    Ok(started.into_iter().unzip())
}

fn adapter(
    layer: usize,
    reader: usize,
    block: &Mat<f64>,
    settings: &Settings,
    seed: u64,
    device: &Device,
) -> Result<(Adapter, BasisReport)> {
    let selection = Selection {
        kind: settings.basis,
        rank: settings.rank,
        threshold: settings.threshold,
        seed,
    };
    let basis = Basis::select(block.as_ref(), &selection, reader)?;
    let report = BasisReport {
        layer,
        reader,
        sigma_max: basis.spectrum.first().copied().unwrap_or_default(),
        sigma_min: basis.spectrum.last().copied().unwrap_or_default(),
        residual: basis.residual,
        random_columns: basis.random_columns,
    };
    Ok((Adapter::from_basis(&basis, device), report))
}
