use std::path::Path;

use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, SafetensorsStore};

use super::tensors::with_sorted_header;
use super::write_atomically;
use crate::error::{Error, Result};
use crate::vit::{Vit, VitConfig};

pub(crate) const CONFIG_KEY: &str = "singer.vit";

/// The key of the channel statistics that a model is meant for.
pub(super) const MEAN_STD_KEY: &str = "singer.mean_std";

/// Writes a ViT as safetensors with timm's names and layout, so that
/// `timm.create_model(arch, ...).load_state_dict(..., strict=True)` takes it.
/// The shape goes into the file's metadata for [`stored_config`](super::stored_config).
///
/// # Errors
/// [`Error::Io`] where the file cannot be written; nothing half-written stays.
pub fn save(model: &Vit, arch: &str, config: &VitConfig, path: &Path) -> Result<()> {
    write(model, arch, config, None, path)
}

/// As [`save`], with the channel mean and deviation that the model's images have,
/// for [`recognise`](super::recognise).
///
/// # Errors
/// As [`save`].
pub fn save_with_statistics(
    model: &Vit,
    arch: &str,
    config: &VitConfig,
    mean_std: ([f32; 3], [f32; 3]),
    path: &Path,
) -> Result<()> {
    write(model, arch, config, Some(mean_std), path)
}

fn write(
    model: &Vit,
    arch: &str,
    config: &VitConfig,
    mean_std: Option<([f32; 3], [f32; 3])>,
    path: &Path,
) -> Result<()> {
    let bytes = to_bytes(model, arch, config, mean_std)
        .map_err(|reason| Error::io(path, std::io::Error::other(reason)))?;
    write_atomically(path, &bytes)
}

fn to_bytes(
    model: &Vit,
    arch: &str,
    config: &VitConfig,
    mean_std: Option<([f32; 3], [f32; 3])>,
) -> Result<Vec<u8>, String> {
    let stored = serde_json::to_string(&(arch, config)).map_err(|error| error.to_string())?;
    let mut store = SafetensorsStore::from_bytes(None)
        .with_to_adapter(BurnToPyTorchAdapter)
        .clear_metadata()
        .metadata("format", "pt")
        .metadata(CONFIG_KEY, stored);
    if let Some(mean_std) = mean_std {
        let stated = serde_json::to_string(&mean_std).map_err(|error| error.to_string())?;
        store = store.metadata(MEAN_STD_KEY, stated);
    }
    model.save_into(&mut store).map_err(|error| error.to_string())?;
    store.get_bytes().map(with_sorted_header).map_err(|error| error.to_string())
}
