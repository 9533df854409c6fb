use std::fmt::Write;
use std::path::Path;

use burn::store::{ApplyError, ModuleSnapshot, PyTorchToBurnAdapter, bridge, burn_pack};
use burn::tensor::{DType, Device, Shape};

use super::WeightsFile;
use super::file::fault;
use super::source::Source;
use crate::error::{Error, Result};
use crate::vit::{Vit, VitConfig};

/// Names listed in a report before it says how many more there are.
const LISTED: usize = 8;

/// Loads a ViT from a file of any kind that [`WeightsFile`] reads, in any published
/// naming, strictly: every tensor of the model must be in the file with its
/// shape, and no other but what is no part of the image's features (a decoder, a
/// text tower, a mask token). `arch` names the architecture in messages; see
/// [`recognise`](super::recognise) for it and the configuration.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that is damaged or of another kind,
/// [`Error::Naming`] for one whose tensors have the names of no known ViT,
/// [`Error::Mismatch`] for one of another architecture, with the names of the
/// missing, unexpected and mis-shaped tensors.
pub fn load(path: &Path, arch: &str, config: &VitConfig, device: &Device) -> Result<Vit> {
    let tensors = WeightsFile::open(path)?.translate()?.tensors;
    let mut model = config.build(device)?;
    let tensors = tensors.into_iter().map(lazy).collect();
    let result = model.apply(tensors, None, Some(Box::new(PyTorchToBurnAdapter)), false);
    if let Some((name, reason)) = result.errors.iter().find_map(unreadable) {
        return Err(fault(path, &format!("{name} {reason}")));
    }
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
    WeightsFile::open(path)?.stored_config()
}

/// For burn, which reads each tensor when it reaches the parameter of its name.
fn lazy((name, source): (String, Source)) -> burn_pack::Tensor {
    let shape = Shape::from(source.shape());
    bridge::deferred(name, DType::F32, shape, None, move || {
        source.read().map_err(burn_pack::Error::ValidationError)
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

/// The tensor that could not be read, and why.
fn unreadable(error: &ApplyError) -> Option<(String, &str)> {
    match error {
        ApplyError::LoadError { path, message } => {
            let reason = message.strip_prefix("Validation error: ").unwrap_or(message);
            Some((timm_name(path), reason))
        }
        _ => None,
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
