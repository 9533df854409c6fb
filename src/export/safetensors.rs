use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::dtype::WeightDtype;
use super::file::ExportFile;
use super::tensors::LazyTensor;

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
    let mut entries = vec![("__metadata__".to_owned(), Value::Object(metadata))];
    let mut at = 0;
    for (name, part) in &tensors {
        let end = at + part.count() * dtype.size();
        let entry = json!({ "dtype": stored, "shape": part.shape, "data_offsets": [at, end] });
        entries.push((name.clone(), entry));
        at = end;
    }
    let entries = entries.iter().map(|(name, entry)| format!("{}:{entry}", json!(name)));
    let mut header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    // Tensors stay aligned to 8 bytes.
    let padding = header.len().next_multiple_of(8) - header.len();
    header.extend(std::iter::repeat_n(' ', padding));

    let mut file = ExportFile::new(name);
    file.push((header.len() as u64).to_le_bytes().to_vec());
    file.push(header.into_bytes());
    for (name, part) in tensors {
        file.push_tensor(&name, part, dtype);
    }
    file
}
