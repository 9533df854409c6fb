use burn::module::Param;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::settings::{SingerSettings, Start};
use crate::error::Result;
use crate::refine::Adapter;
use crate::refine::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};
#[cfg(not(target_family = "wasm"))]
use crate::refine::{ImageBatches, Sensitivity};
use crate::vit::Vit;

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

/// Adapters of a teacher's layers at their start on `device`, and how their bases
/// came out.
///
/// # Errors
/// As [`Basis::select`].
#[cfg(not(target_family = "wasm"))]
pub fn adapters(
    teacher: &Vit,
    layers: &[usize],
    settings: &SingerSettings,
    seed: u64,
    device: &Device,
) -> Result<(Vec<Adapter>, Vec<BasisReport>)> {
    let started = layers.iter().map(|&layer| {
        let reader = next_block(layer, teacher.depth());
        let block = Linearised::of(&teacher.blocks[reader]);
        adapter(layer, reader, &block, settings, seed, device)
    });
    let started: Vec<_> = started.collect::<Result<_>>()?;
    Ok(started.into_iter().unzip())
}

/// As `adapters`, also for [`BasisKind::Data`], with the teacher's images.
///
/// # Errors
/// As `adapters` and [`Sensitivity::of`].
#[cfg(not(target_family = "wasm"))]
pub fn adapters_on<I: ImageBatches + ?Sized>(
    teacher: &Vit,
    layers: &[usize],
    settings: &SingerSettings,
    seed: u64,
    images: &I,
    device: &Device,
) -> Result<(Vec<Adapter>, Vec<BasisReport>)> {
    if settings.basis != BasisKind::Data {
        return adapters(teacher, layers, settings, seed, device);
    }
    let started = layers.iter().map(|&layer| {
        let reader = next_block(layer, teacher.depth());
        let basis = Sensitivity::of(teacher, layer, images, seed)?.basis(settings.rank)?;
        Ok(from_basis(layer, reader, &basis, settings, device))
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
    settings: &SingerSettings,
    seed: u64,
    device: &Device,
) -> Result<(Vec<Adapter>, Vec<BasisReport>)> {
    let mut started = Vec::with_capacity(layers.len());
    for &layer in layers {
        let reader = next_block(layer, teacher.depth());
        let block = Linearised::of_async(&teacher.blocks[reader]).await?;
        started.push(adapter(layer, reader, &block, settings, seed, device)?);
    }
    Ok(started.into_iter().unzip())
}

fn adapter(
    layer: usize,
    reader: usize,
    block: &Linearised,
    settings: &SingerSettings,
    seed: u64,
    device: &Device,
) -> Result<(Adapter, BasisReport)> {
    let selection = Selection {
        kind: settings.basis,
        rank: settings.rank,
        threshold: settings.threshold,
        seed,
    };
    let basis = Basis::select(block, &selection, reader)?;
    Ok(from_basis(layer, reader, &basis, settings, device))
}

fn from_basis(
    layer: usize,
    reader: usize,
    basis: &Basis,
    settings: &SingerSettings,
    device: &Device,
) -> (Adapter, BasisReport) {
    let report = BasisReport {
        layer,
        reader,
        sigma_max: basis.spectrum.first().copied().unwrap_or_default(),
        sigma_min: basis.spectrum.last().copied().unwrap_or_default(),
        residual: basis.residual,
        random_columns: match settings.basis {
            BasisKind::Random => 0,
            _ => basis.random_columns,
        },
    };
    let adapter = Adapter::from_basis(basis, device);
    let adapter = match settings.start {
        Start::Nullspace => adapter,
        Start::Zero => {
            let up = Param::from_tensor(adapter.up.val().zeros_like());
            Adapter { up, ..adapter }
        }
    };
    (adapter, report)
}
