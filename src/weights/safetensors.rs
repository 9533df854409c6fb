//! The safetensors format, <https://github.com/huggingface/safetensors#format>: the one
//! reader and the one writer of its header.

use std::collections::HashMap;
use std::fmt::{self, Formatter};
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::contents::Contents;
use super::entry::{Bytes, Element, Entry};

/// The most bytes of a header that is read: a hundred times that of the largest ViT.
const MAX_HEADER: u64 = 16 << 20;

/// Finds the tensors of a safetensors file, by the rules of
/// <https://github.com/huggingface/safetensors#format>: they cover the data
/// exactly, without overlap, and no name comes twice.
pub(super) fn read(bytes: &Arc<Bytes>) -> Result<Contents, String> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or("it is too short")?;
    let length = u64::from_le_bytes(*length);
    if length > rest.len() as u64 {
        return Err("its header reaches past its end".into());
    }
    if length > MAX_HEADER {
        return Err(format!("its header takes {length} bytes, more than {MAX_HEADER}"));
    }
    let start = 8 + length as usize;
    let header =
        std::str::from_utf8(&bytes[8..start]).map_err(|_| "its header is not UTF-8 text")?;
    let Header { mut tensors, metadata } =
        serde_json::from_str(header).map_err(|error| format!("its header: {error}"))?;

    tensors.sort_unstable_by_key(|(_, info)| info.data_offsets);
    let held = bytes.len() - start;
    let mut end = 0;
    for (name, info) in &tensors {
        let (from, to) = info.data_offsets;
        if from != end || to < from {
            return Err(format!("{name} lies at {from} to {to}, the tensor before ends at {end}"));
        }
        end = to;
    }
    if end != held {
        return Err(format!("it has {held} bytes of data, its header says {end}"));
    }
    let mut contents = Contents { metadata, ..Contents::default() };
    for (name, TensorInfo { dtype, shape, data_offsets: (from, to) }) in tensors {
        let element = element(dtype);
        if contents.passes_over(&name, element) {
            continue;
        }
        let entry = Entry::within(bytes, start + from..start + to, element, shape)
            .map_err(|reason| format!("{name} {reason}"))?;
        contents.add(name, entry)?;
    }
    Ok(contents)
}

fn element(dtype: Dtype) -> Element {
    match dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::I64 => Element::Other("I64", 8),
        Dtype::BOOL => Element::Other("BOOL", 1),
        other => {
            Element::Other("another integer, or less than 16 bits", other.bitsize().div_ceil(8))
        }
    }
}

/// A list, as a map would hide names that come twice.
#[derive(Default)]
struct Header {
    tensors: Vec<(String, TensorInfo)>,
    metadata: HashMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Header;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                let mut described = false;
                while let Some(name) = map.next_key::<String>()? {
                    if name != "__metadata__" {
                        header.tensors.push((name, map.next_value()?));
                    } else if described {
                        return Err(A::Error::custom("__metadata__ comes twice"));
                    } else {
                        header.metadata = map.next_value()?;
                        described = true;
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Names)
    }
}

/// What a file begins with, the header's length and the header, for tensors whose data
/// follow in this order: name, type (`F32`), shape and size in bytes. Its keys are
/// sorted, so equal contents give equal bytes.
pub(crate) fn header<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'static str, Vec<usize>, usize)>,
    metadata: Map<String, Value>,
) -> Vec<u8> {
    let mut entries = Map::new();
    let mut at = 0;
    for (name, dtype, shape, size) in tensors {
        let end = at + size;
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [at, end] });
        entries.insert(name.to_owned(), entry);
        at = end;
    }
    if !metadata.is_empty() {
        entries.insert("__metadata__".into(), Value::Object(metadata));
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    // Tensors stay aligned to 8 bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes(), header.as_slice()].concat()
}
