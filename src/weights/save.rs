//! Models in files under timm's names.

#[cfg(not(target_family = "wasm"))]
use std::path::Path;

use burn::tensor::TensorData;

#[cfg(not(target_family = "wasm"))]
use super::atomic::write_atomically;
use super::file::CONFIG_KEY;
use super::load::{is_linear, timm_name, transposed};
use super::tensors::NamedTensors;
use crate::error::Result;
use crate::readback::named_parameters_async;
use crate::vit::{Vit, VitConfig};

/// Writes a ViT as safetensors with timm's names and layout, so that
/// `timm.create_model(arch, ...).load_state_dict(..., strict=True)` takes it.
/// The shape goes into the file's metadata, see [`stored_config`](super::stored_config).
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where the file cannot be written; nothing half-written stays.
#[cfg(not(target_family = "wasm"))]
pub fn save(model: &Vit, arch: &str, config: &VitConfig, path: &Path) -> Result<()> {
    save_with_notes(model, arch, config, &[], path)
}

/// The same with further entries in the file's metadata, see
/// [`stored_note`](super::stored_note).
///
/// # Errors
/// As [`save`].
#[cfg(not(target_family = "wasm"))]
pub fn save_with_notes(
    model: &Vit,
    arch: &str,
    config: &VitConfig,
    notes: &[(&str, String)],
    path: &Path,
) -> Result<()> {
    let file = pollster::block_on(to_tensors(model, arch, config, notes))?;
    write_atomically(path, &file.to_bytes()?)
}

/// What [`save_with_notes`] writes. Does not block the thread, which a browser does not allow.
///
/// # Errors
/// [`Error::Gpu`](crate::Error::Gpu).
pub async fn to_tensors(
    model: &Vit,
    arch: &str,
    config: &VitConfig,
    notes: &[(&str, String)],
) -> Result<NamedTensors> {
    let mut file = NamedTensors::default();
    for (name, data) in named_parameters_async(model).await? {
        let name = timm_name(&name);
        let data = if is_linear(&name, data.shape()) { turned(data) } else { data };
        file.tensors.insert(name, data);
    }
    let stored = serde_json::to_string(&(arch, config)).unwrap_or_default();
    let stated = [("format", "pt".to_owned()), (CONFIG_KEY, stored)];
    file.metadata.extend(stated.into_iter().map(|(key, value)| (key.to_owned(), value)));
    file.metadata.extend(notes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Ok(file)
}

/// A linear layer's matrix as PyTorch stores it, `[out, in]`.
fn turned(data: TensorData) -> TensorData {
    let [rows, columns] = [data.shape()[0], data.shape()[1]];
    let values: Vec<f32> = data.iter().collect();
    TensorData::new(transposed(&values, rows, columns), [columns, rows])
}
