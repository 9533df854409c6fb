use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::dtype::WeightDtype;
use super::file::ExportFile;
use super::tensors::LazyTensor;
use crate::weights::safetensors_header;

/// Tensors by name as one safetensors file, in the names' order: equal contents
/// give equal bytes. See <https://github.com/huggingface/safetensors#format>.
pub(super) fn file<'a>(
    name: &str,
    tensors: BTreeMap<String, LazyTensor<'a>>,
    metadata: &[(&str, String)],
    dtype: WeightDtype,
) -> ExportFile<'a> {
    let stored = match dtype {
        WeightDtype::F32 => "F32",
        WeightDtype::F16 => "F16",
        WeightDtype::Bf16 => "BF16",
    };
    let metadata: Map<String, Value> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let entries = tensors.iter().map(|(name, part)| {
        (name.as_str(), stored, part.shape.clone(), part.count() * dtype.size())
    });
    let mut file = ExportFile::new(name);
    file.push(safetensors_header(entries, metadata));
    for (name, part) in tensors {
        file.push_tensor(&name, part, dtype);
    }
    file
}
