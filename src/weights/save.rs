use std::path::Path;

use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, SafetensorsStore};

use super::tensors::with_sorted_header;
use super::{CONFIG_KEY, write_atomically};
use crate::error::{Error, Result};
use crate::vit::{Vit, VitConfig};

/// Writes a ViT as safetensors with timm's names and layout, so that
/// `timm.create_model(arch, ...).load_state_dict(..., strict=True)` takes it.
/// The shape goes into the file's metadata for [`stored_config`](super::stored_config).
///
/// # Errors
/// [`Error::Io`] where the file cannot be written; nothing half-written stays.
pub fn save(model: &Vit, arch: &str, config: &VitConfig, path: &Path) -> Result<()> {
    save_with_notes(model, arch, config, &[], path)
}

/// The same, with more entries for the file's metadata, which
/// [`stored_note`](super::stored_note) reads.
///
/// # Errors
/// As [`save`].
pub fn save_with_notes(
    model: &Vit,
    arch: &str,
    config: &VitConfig,
    notes: &[(&str, String)],
    path: &Path,
) -> Result<()> {
    let bytes = to_bytes(model, arch, config, notes)
        .map_err(|reason| Error::io(path, std::io::Error::other(reason)))?;
    write_atomically(path, &bytes)
}

fn to_bytes(
    model: &Vit,
    arch: &str,
    config: &VitConfig,
    notes: &[(&str, String)],
) -> Result<Vec<u8>, String> {
    let stored = serde_json::to_string(&(arch, config)).map_err(|error| error.to_string())?;
    let mut store = SafetensorsStore::from_bytes(None)
        .with_to_adapter(BurnToPyTorchAdapter)
        .clear_metadata()
        .metadata("format", "pt")
        .metadata(CONFIG_KEY, stored);
    for (key, value) in notes {
        store = store.metadata(*key, value);
    }
    model.save_into(&mut store).map_err(|error| error.to_string())?;
    store.get_bytes().map(with_sorted_header).map_err(|error| error.to_string())
}
