use std::fmt::Write;
use std::path::Path;

use burn::store::{ApplyError, ModuleSnapshot, PyTorchToBurnAdapter};
use burn::tensor::Device;

use super::WeightsFile;
use super::save::CONFIG_KEY;
use crate::error::{Error, Result};
use crate::vit::{Vit, VitConfig};

/// Names listed in a report before it says how many more there are.
const LISTED: usize = 8;

/// Loads a ViT from a file of any kind that [`WeightsFile`] reads, with timm's
/// names, strictly: every tensor of the model must be in the file with its
/// shape, and no other. `arch` names the architecture in messages.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that is damaged or of another kind,
/// [`Error::Mismatch`] for one of another architecture, with the names of the
/// missing, unexpected and mis-shaped tensors.
pub fn load(path: &Path, arch: &str, config: &VitConfig, device: &Device) -> Result<Vit> {
    let file = WeightsFile::open(path)?;
    let mut model = config.build(device)?;
    let result = model.apply(file.into_lazy(), None, Some(Box::new(PyTorchToBurnAdapter)), false);
    let missing: Vec<String> = result.missing.iter().map(|(name, _)| timm_name(name)).collect();
    let misfits: Vec<String> = result.errors.iter().map(misfit).collect();
    let mut report = String::new();
    list(&mut report, "missing", &missing);
    list(&mut report, "unexpected", &result.unused);
    list(&mut report, "mis-shaped", &misfits);
    if report.is_empty() {
        Ok(model)
    } else {
        Err(Error::Mismatch { path: path.to_owned(), arch: arch.to_owned(), report })
    }
}

/// The configuration that [`save`](super::save) wrote into a file, if any:
/// the architecture's name and the shape.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that is damaged or of another kind.
pub fn stored_config(path: &Path) -> Result<Option<(String, VitConfig)>> {
    let file = WeightsFile::open(path)?;
    let Some(text) = file.metadata().get(CONFIG_KEY) else {
        return Ok(None);
    };
    serde_json::from_str(text).map(Some).map_err(|error| Error::Checkpoint {
        path: path.to_owned(),
        reason: format!("its {CONFIG_KEY} entry is damaged: {error}"),
    })
}

/// An entry that [`save_with_notes`](super::save_with_notes) wrote into a file, if
/// any.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that is damaged or of another kind.
pub fn stored_note(path: &Path, key: &str) -> Result<Option<String>> {
    Ok(WeightsFile::open(path)?.metadata().get(key).cloned())
}

/// burn calls a norm's parameters gamma and beta; timm, weight and bias.
fn timm_name(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((owner, "gamma")) if owner.contains("norm") => format!("{owner}.weight"),
        Some((owner, "beta")) if owner.contains("norm") => format!("{owner}.bias"),
        _ => name.to_owned(),
    }
}

fn misfit(error: &ApplyError) -> String {
    match error {
        ApplyError::ShapeMismatch { path, expected, found } => format!(
            "{} is {:?}, wanted {:?} (rows and columns as in the loaded model)",
            timm_name(path),
            found.as_slice(),
            expected.as_slice()
        ),
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
