use std::fmt::Write;
#[cfg(not(target_family = "wasm"))]
use std::path::Path;

use burn::store::{ApplyError, ModuleSnapshot, bridge, burn_pack};
use burn::tensor::{DType, Device as BurnDevice, Shape, TensorData, f16};
use rayon::prelude::*;

use super::entry::Source;
use super::file::WeightsFile;
use super::options::option_of;
use crate::error::{Error, Result};
use crate::vit::{Vit, VitConfig};

/// The most names that a report lists.
const LISTED: usize = 8;

/// Loads a ViT from a file, as [`WeightsFile::load`].
///
/// # Errors
/// As [`WeightsFile::open`] and [`WeightsFile::load`].
#[cfg(not(target_family = "wasm"))]
pub fn load(path: &Path, arch: &str, config: &VitConfig, device: &BurnDevice) -> Result<Vit> {
    WeightsFile::open(path)?.load(arch, config, device)
}

impl WeightsFile {
    /// Loads a ViT in any published naming, strictly: every tensor of the model
    /// must be in the file with its shape, and no other, except what image features do not
    /// need (a decoder, a text tower, a mask token). `arch` names the
    /// architecture in messages; see [`recognise`](Self::recognise) for it and the
    /// configuration.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where a tensor is damaged,
    /// [`Error::Naming`] for a file whose tensors have the names of no known ViT,
    /// [`Error::Mismatch`] for one of another architecture, with the names of the
    /// missing, unexpected and mis-shaped tensors.
    pub fn load(&self, arch: &str, config: &VitConfig, device: &BurnDevice) -> Result<Vit> {
        self.load_as(arch, config, device, DType::F32)
    }

    /// As [`load`](Self::load), with the blocks' matrices in the precision `matrices` and
    /// all else in f32.
    pub(crate) fn load_as(
        &self,
        arch: &str,
        config: &VitConfig,
        device: &BurnDevice,
        matrices: DType,
    ) -> Result<Vit> {
        let tensors = self.translate()?.tensors;
        let mut model = config.build(device)?;
        let tensors = tensors
            .into_iter()
            .map(|(name, source)| match is_block_matrix(&name, &source.shape()) {
                true => lazy(name, source, matrices),
                false => lazy(name, source, DType::F32),
            })
            .collect();
        let result = model.apply(tensors, None, None, false);
        if let Some((name, reason)) = result.errors.iter().find_map(unreadable) {
            return Err(Error::checkpoint(self.path(), &format!("{name} {reason}")));
        }
        let missing: Vec<String> = result.missing.iter().map(|(name, _)| timm_name(name)).collect();
        let misfits: Vec<String> = result.errors.iter().map(misfit).collect();
        let mut report = String::new();
        list(&mut report, "missing", &missing);
        let unexpected: Vec<String> = result.unused.iter().map(|name| timm_name(name)).collect();
        list(&mut report, "unexpected", &unexpected);
        list(&mut report, "mis-shaped", &misfits);
        if let Some((name, option)) =
            unexpected.iter().find_map(|name| Some((name, option_of(name)?)))
        {
            let _ = write!(report, "; {name} belongs to {option}");
        }
        if report.is_empty() {
            Ok(model)
        } else {
            Err(Error::Mismatch { path: self.path().to_owned(), arch: arch.to_owned(), report })
        }
    }
}

/// The architecture's name and the shape that [`save`](super::save) wrote into a file;
/// none in other files.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that is damaged or of another kind.
#[cfg(not(target_family = "wasm"))]
pub fn stored_config(path: &Path) -> Result<Option<(String, VitConfig)>> {
    WeightsFile::open(path)?.stored_config()
}

/// A tensor for burn, read when burn reaches its parameter. burn's own adapter for
/// PyTorch's layout takes twice the time.
fn lazy(name: String, source: Source, dtype: DType) -> burn_pack::Tensor {
    let shape = source.shape();
    let linear = is_linear(&name, &shape);
    let turned = if linear { vec![shape[1], shape[0]] } else { shape };
    let read = move || -> Result<TensorData, String> {
        let data = source.read()?;
        if let Some(value) = data.as_slice::<f32>().ok().and_then(not_finite) {
            return Err(format!("holds {value}"));
        }
        if !linear {
            return Ok(data);
        }
        let [rows, columns] = [data.shape()[0], data.shape()[1]];
        let values = data.try_into_vec::<f32>().map_err(|error| error.to_string())?;
        let beyond = |value: &&f32| dtype == DType::F16 && f16::from_f32(**value).is_infinite();
        if let Some(value) = values.iter().find(beyond) {
            return Err(format!("holds {value:e}, which half precision cannot"));
        }
        let turned = TensorData::new(transposed(&values, rows, columns), [columns, rows]);
        Ok(turned.convert_dtype(dtype))
    };
    bridge::deferred(burn_name(&name), dtype, Shape::from(turned), None, move || {
        read().map_err(burn_pack::Error::ValidationError)
    })
}

/// A value that is NaN or infinite.
fn not_finite(values: &[f32]) -> Option<f32> {
    // A maximum of bits is several times as fast as a search.
    let magnitude = |value: &f32| value.to_bits() & 0x7fff_ffff;
    let largest = values.iter().map(magnitude).max()?;
    (largest >= f32::INFINITY.to_bits())
        .then(|| values.iter().copied().find(|value| !value.is_finite()))?
}

/// Whether a tensor is a linear layer's matrix, which PyTorch stores `[out, in]` and
/// burn `[in, out]`.
pub(super) fn is_linear(name: &str, shape: &[usize]) -> bool {
    shape.len() == 2 && name.ends_with(".weight")
}

/// Whether a tensor is a matrix of a block: nearly all of a model.
fn is_block_matrix(name: &str, shape: &[usize]) -> bool {
    name.starts_with("blocks.") && is_linear(name, shape)
}

/// A row-major matrix of `rows` and `columns`, transposed, tile by tile.
pub(super) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 32;
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut((TILE * rows).max(1)).enumerate().for_each(|(tile, out)| {
        for top in (0..rows).step_by(TILE) {
            for (inner, out) in out.chunks_mut(rows).enumerate() {
                let column = tile * TILE + inner;
                for row in top..(top + TILE).min(rows) {
                    out[row] = values[row * columns + column];
                }
            }
        }
    });
    out
}

/// A metadata entry of a file of weights, as [`save_with_notes`](super::save_with_notes)
/// writes it; none where it is not there.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that is damaged or of another kind.
#[cfg(not(target_family = "wasm"))]
pub fn stored_note(path: &Path, key: &str) -> Result<Option<String>> {
    Ok(WeightsFile::open(path)?.metadata().get(key).cloned())
}

/// burn calls a norm's parameters gamma and beta; timm, weight and bias.
fn burn_name(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((owner, "weight")) if owner.contains("norm") => format!("{owner}.gamma"),
        Some((owner, "bias")) if owner.contains("norm") => format!("{owner}.beta"),
        _ => name.to_owned(),
    }
}

/// The reverse of [`burn_name`].
pub(super) fn timm_name(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((owner, "gamma")) if owner.contains("norm") => format!("{owner}.weight"),
        Some((owner, "beta")) if owner.contains("norm") => format!("{owner}.bias"),
        _ => name.to_owned(),
    }
}

/// The tensor that could not be read, and the reason.
fn unreadable(error: &ApplyError) -> Option<(String, &str)> {
    match error {
        ApplyError::LoadError { path, message } => {
            // burn wraps the reason in its own error, as text.
            let wrapped = message.strip_prefix("Failed to load tensor data: ValidationError(\"");
            let reason = wrapped.and_then(|reason| reason.strip_suffix("\")"));
            Some((timm_name(path), reason.unwrap_or(message)))
        }
        _ => None,
    }
}

fn misfit(error: &ApplyError) -> String {
    match error {
        ApplyError::ShapeMismatch { path, expected, found } => {
            let name = timm_name(path);
            let on_disk = |shape: &Shape| -> Vec<usize> {
                let mut shape = shape.as_slice().to_vec();
                if is_linear(&name, &shape) {
                    shape.reverse();
                }
                shape
            };
            format!("{name} is {:?}, wanted {:?}", on_disk(found), on_disk(expected))
        }
        other => other.to_string(),
    }
}

fn list(report: &mut String, what: &str, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let shown = names[..names.len().min(LISTED)].join(", ");
    let more = names.len().saturating_sub(LISTED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let _ = write!(report, "; {} {what}: {shown}{rest}", names.len());
}
