use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};
use super::settings::SingerSettings;
use crate::error::Result;
use crate::tokens::on_patches;
use crate::vit::Vit;

/// The low-rank adapter `F̂ = F + (F Φ_down) Φ_up` on patch tokens (paper, the
/// refinement; class and register tokens pass unchanged).
#[derive(Module, Debug)]
pub struct Adapter {
    /// Φ_down, `[D, r]`.
    pub down: Param<Tensor<2>>,
    /// Φ_up, `[r, D]`.
    pub up: Param<Tensor<2>>,
}

impl Adapter {
    /// Starts at `Φ_down = N`, `Φ_up = N^T`, so that `F̂ = F (I + N N^T)`.
    pub fn from_basis(basis: &Basis, device: &Device) -> Self {
        let down = basis.to_tensor(device);
        let up = down.clone().transpose();
        Self { down: Param::from_tensor(down), up: Param::from_tensor(up) }
    }

    /// From stored Φ_down `[D, r]` and Φ_up `[r, D]`.
    pub fn from_data(down: TensorData, up: TensorData, device: &Device) -> Self {
        let param = |data| Param::from_tensor(Tensor::from_data(data, device));
        Self { down: param(down), up: param(up) }
    }

    /// Refined tokens, `[B, T, D] -> [B, T, D]`; the first `prefix` tokens pass
    /// unchanged.
    pub fn forward(&self, tokens: Tensor<3>, prefix: usize) -> Tensor<3> {
        low_rank_refine(tokens, self.down.val(), self.up.val(), prefix)
    }
}

/// Name of a layer's `down` or `up` in a file of trained parts.
pub(crate) fn adapter_part(layer: usize, half: &str) -> String {
    format!("adapter.{layer}.{half}")
}

/// `F̂ = F + (F Φ_down) Φ_up` on patch tokens: `[B, T, D]`, `[D, r]`, `[r, D]` to
/// `[B, T, D]`; the first `prefix` tokens pass unchanged.
pub fn low_rank_refine(
    tokens: Tensor<3>,
    down: Tensor<2>,
    up: Tensor<2>,
    prefix: usize,
) -> Tensor<3> {
    on_patches(tokens, prefix, |patches| {
        let shift = patches.clone().matmul(down.unsqueeze()).matmul(up.unsqueeze());
        patches + shift
    })
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
    Ok((Adapter::from_basis(&basis, device), report))
}

/// The closed form of the refinement, `F̂ = F (I − α N Nᵀ)` on outlier patches:
/// it takes the share α of their (near) nullspace component away and needs no
/// training. All other tokens pass unchanged.
#[derive(Debug, Clone)]
pub struct TrainingFree {
    /// N, `[D, r]`, orthonormal columns.
    basis: Tensor<2>,
    share: f64,
}

impl TrainingFree {
    /// With the basis N of the block that reads the features, and α.
    pub fn new(basis: &Basis, share: f64, device: &Device) -> Self {
        Self { basis: basis.to_tensor(device), share }
    }

    /// `[B, T, D] -> [B, T, D]`; `outliers`, `[B, P]`, is 1 for the patches to
    /// refine and 0 for the others. The first `prefix` tokens pass unchanged.
    pub fn forward(&self, tokens: Tensor<3>, outliers: Tensor<2>, prefix: usize) -> Tensor<3> {
        on_patches(tokens, prefix, |patches| {
            let inside = patches
                .clone()
                .matmul(self.basis.clone().unsqueeze())
                .matmul(self.basis.clone().transpose().unsqueeze());
            patches - inside * outliers.unsqueeze_dim::<3>(2) * self.share
        })
    }
}
