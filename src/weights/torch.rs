use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use pytorch_reader::{DType, PickleValue, PytorchReader};
use zip::ZipArchive;

use super::contents::Contents;
use super::entry::{Element, Entry};

const TORCHSCRIPT: &str = "it is a TorchScript archive, which is a program: take its weights out \
    with torch.save(torch.jit.load(FILE, map_location='cpu').state_dict(), 'weights.pth')";

/// The tensors of a file of `length` bytes that `torch.save` wrote. The keys of the
/// dictionaries and lists around a tensor are its name, joined by dots.
pub(super) fn contents(path: &Path, length: u64) -> Result<Contents, String> {
    if is_program(path) {
        return Err(TORCHSCRIPT.into());
    }
    let reader = PytorchReader::new(path).map_err(|error| error.to_string())?;
    let mut contents = Contents::default();
    for (name, tensor) in reader.into_tensors() {
        // A view may repeat its storage; a model's weights are never larger than
        // their file.
        if tensor.byte_len() as u64 > length {
            return Err(format!("{name} of shape {:?} is larger than the file", tensor.shape()));
        }
        let (_, dtype, shape, read) = tensor.into_parts();
        let element = element(dtype);
        if !contents.passes_over(&name, element) {
            contents.add(name, Entry::deferred(Arc::new(read), element, shape)?)?;
        }
    }
    if contents.tensors.is_empty() {
        let root = PytorchReader::read_pickle_data(path, None);
        return Err(match root.ok().as_ref().and_then(foreign) {
            Some(class) => format!(
                "it holds no tensors but an object of {class}, which is never made or called; save the model's state_dict() alone"
            ),
            None => "it holds no tensors".into(),
        });
    }
    Ok(contents)
}

/// Whether it is a TorchScript archive.
fn is_program(path: &Path) -> bool {
    let archive = File::open(path).ok().and_then(|file| ZipArchive::new(file).ok());
    archive.is_some_and(|archive| {
        archive
            .file_names()
            .flatten()
            .any(|name| name.ends_with("/constants.pkl") || name.contains("/code/"))
    })
}

/// The class of a value that is not plain data.
fn foreign(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(class) => Some(class),
        PickleValue::Dict(items) => items.values().find_map(foreign),
        PickleValue::List(items) => items.iter().find_map(foreign),
        _ => None,
    }
}

fn element(dtype: DType) -> Element {
    match dtype {
        DType::F16 => Element::F16,
        DType::BF16 => Element::Bf16,
        DType::F32 => Element::F32,
        DType::F64 => Element::F64,
        DType::I64 => Element::Other("I64", 8),
        DType::Bool => Element::Other("BOOL", 1),
        other => Element::Other("another integer", other.size()),
    }
}
