use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::export::{Provenance, RUN_FILE};
#[cfg(feature = "hub")]
use crate::hub::Reference;
use crate::vit::{preset, presets};

/// The file or folder of weights that a reference stands for: a path as it is; the copy
/// in the hub's cache of `hf-hub:OWNER/NAME[/FILE][@REVISION]`, or of a timm name with the tag
/// of its weights, downloaded where it is not there yet. `report` hears of the download: the
/// file, the bytes that are there, and those of the whole.
///
/// # Errors
/// [`Error::Hub`](crate::Error::Hub) for a model that cannot be had,
/// [`Error::Data`](crate::Error::Data) for the folder of a run without weights.
pub fn locate(reference: &Path, report: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf> {
    let text = reference.to_string_lossy();
    #[cfg(feature = "hub")]
    {
        if let Some(named) = Reference::parse(&text) {
            return named?.fetch(report);
        }
        let tagged = text.contains('.') && !text.contains('/') && preset(&text).is_some();
        if tagged && !reference.exists() {
            return Reference::timm(&text).fetch(report);
        }
    }
    #[cfg(not(feature = "hub"))]
    if text.starts_with("hf-hub:") {
        return Err(Error::Hub {
            model: text.into_owned(),
            reason: "this build cannot download models: its feature `hub` is off".into(),
        });
    }
    #[cfg(not(feature = "hub"))]
    let _ = report;
    if !reference.exists() && !text.contains('.') && preset(&text).is_some() {
        return Err(without_weights(&text));
    }
    if reference.join(RUN_FILE).is_file() {
        return Ok(Provenance::of(reference)?.weights);
    }
    Ok(reference.to_owned())
}

/// A timm name states a shape; which weights, its tag.
fn without_weights(name: &str) -> Error {
    let tagged = |known: &&str| known.strip_prefix(name).is_some_and(|tag| tag.starts_with('.'));
    let example = presets().iter().map(|preset| preset.name).find(tagged);
    let example = example.map_or_else(|| format!("{name}.TAG"), str::to_owned);
    Error::Hub {
        model: name.into(),
        reason: format!(
            "the name of a shape, not of weights: add their tag, as in {example} (timm's page on the hub lists them), or give a file"
        ),
    }
}
