use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::FeatureSettings;
use crate::data::ImageSet;
use crate::error::{Error, Result};
use crate::vit::{Vit, VitConfig};

/// Incremented whenever the same settings would give other features.
const VERSION: u32 = 1;

/// Identifies a model in the feature cache: a hash of its shape and of all weights as
/// loaded, so that the same weights in another file format give the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelKey(String);

impl ModelKey {
    /// Hashes every weight.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn new(model: &Vit, config: &VitConfig) -> Result<Self> {
        let mut weights = Weights { hash: Sha256::new(), failed: None };
        model.visit(&mut weights);
        if let Some(reason) = weights.failed {
            return Err(Error::gpu("reading the weights", &reason));
        }
        weights.hash.update(serde_json::to_vec(config).unwrap_or_default());
        Ok(Self(hex(weights.hash)))
    }
}

struct Weights {
    hash: Sha256,
    failed: Option<String>,
}

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match param.val().try_into_data() {
            Ok(data) => {
                let shape = format!("{:?}{:?}", data.dtype(), data.shape().as_slice());
                self.hash.update(shape);
                self.hash.update(data.as_bytes());
            }
            Err(error) => self.failed = Some(error.to_string()),
        }
    }
}

/// Everything that determines the features, and a short name derived from it.
pub(super) struct Key {
    pub(super) description: Value,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(
        model: &ModelKey,
        images: &ImageSet,
        settings: &FeatureSettings,
    ) -> Result<Self> {
        let mut files = Sha256::new();
        for index in 0..images.len() {
            let size = images.file_size(index)?.map_or(String::new(), |size| size.to_string());
            files.update(format!("{}\0{size}\n", images.name(index)));
        }
        let mut description = json!({
            "version": VERSION,
            "model": model.0,
            "size": settings.size,
            "view": settings.view,
            "preprocess": settings.preprocess,
            "final_norm": settings.final_norm,
            "patches": settings.patches,
            "precision": settings.precision,
            "images": images.len(),
            "files": hex(files),
        });
        // Without one the key is what it was before there were any.
        if let Some(lift) = &settings.lift {
            description["lift"] = lift.key().into();
        }
        let mut name = hex(Sha256::new_with_prefix(description.to_string()));
        name.truncate(32);
        Ok(Self { description, name })
    }
}

/// A hash as text.
pub(in crate::probe) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
