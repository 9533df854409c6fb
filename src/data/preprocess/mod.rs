//! How a model's images are prepared: timm's rule, or transformers' image processors, as
//! the config files beside its weights state it.

mod processor;
mod rule;
mod timm;

#[cfg(not(target_family = "wasm"))]
use std::path::Path;

pub use rule::{CropMode, Edges, Framing, Preprocess, Steps};

use crate::error::{Error, Result};

impl Preprocess {
    /// Reads the config files beside weights, as [`of_configs`](Self::of_configs).
    ///
    /// # Errors
    /// [`Error::Data`] where one is damaged or asks for a step that is not known;
    /// [`Error::Io`] where it cannot be read.
    #[cfg(not(target_family = "wasm"))]
    pub fn beside(weights: &Path, arch: &str, base: &Self) -> Result<Option<Self>> {
        let folder = match weights.is_dir() {
            true => weights,
            false => weights.parent().unwrap_or(Path::new("")),
        };
        Self::of_configs(arch, base, |name| {
            let path = folder.join(name);
            if !path.is_file() {
                return Ok(None);
            }
            std::fs::read_to_string(&path).map(Some).map_err(|error| Error::io(&path, error))
        })
        .map_err(|error| match error {
            Error::Data { path, reason } => Error::data(folder.join(path), reason),
            other => other,
        })
    }

    /// Reads config files, whose content `text` gives by name:
    /// transformers' `preprocessor_config.json` or `processor_config.json`, else
    /// timm's `config.json` where it is about the architecture `arch`; what timm's file
    /// leaves open is as in `base`. None where there is no such file.
    ///
    /// # Errors
    /// [`Error::Data`] with the file's name where one is damaged or asks for a step
    /// that is not known; what `text` gives.
    pub fn of_configs(
        arch: &str,
        base: &Self,
        text: impl Fn(&str) -> Result<Option<String>>,
    ) -> Result<Option<Self>> {
        let files: [(&str, Reader); 3] = [
            ("preprocessor_config.json", |json, _, _| processor::read(json).map(Some)),
            ("processor_config.json", |json, _, _| {
                json.get("image_processor").map(processor::read).transpose()
            }),
            ("config.json", timm::read),
        ];
        for (name, read) in files {
            let Some(text) = text(name)? else { continue };
            let found = serde_json::from_str(&text)
                .map_err(|error| format!("not readable as JSON ({error})"))
                .and_then(|json| read(&json, arch, base))
                .map_err(|reason| Error::data(name, reason))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// Reads one kind of file; none where it describes something else. The error is the
/// reason.
type Reader =
    fn(&serde_json::Value, &str, &Preprocess) -> std::result::Result<Option<Preprocess>, String>;
