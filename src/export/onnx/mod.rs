//! Models as ONNX: our own graph, written in the wire format of
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>, whose field numbers
//! stand here and in `graph`.

mod graph;
mod network;

use crate::export::protobuf::{Message, open};
use graph::{Attribute, Constant, Graph};

use super::dtype::WeightDtype;
use super::file::{ExportFile, Package};
use super::{Exporter, Format, decimal};
use crate::error::Result;

/// The version of the operators: the first with LayerNormalization, which every
/// current runtime, onnxruntime-web among them, has on all of its backends.
const OPSET: i64 = 17;
/// The version of the file format that goes with it.
const IR_VERSION: i64 = 8;
/// A file beyond this cannot be read: protocol buffers end at 2 GiB.
const LARGEST_FILE: u64 = (1 << 31) - 1;
/// Weights of fewer bytes stay in the model where others have a file of their own: runtimes
/// read shapes and scalars before they run.
const SMALLEST_EXTERNAL: usize = 1024;
/// Alignment of a tensor in the file of weights, so that it can be mapped into memory.
const ALIGNMENT: u64 = 4096;

/// The files of a model.
#[derive(Debug, Clone)]
pub(super) struct OnnxLayout {
    /// The model's file name; weights outside it are in `<file>.data`.
    pub(super) file: String,
    /// Whether weights have a file of their own also below 2 GiB.
    pub(super) external: bool,
}

pub(super) fn package<'a>(
    exporter: &'a Exporter<'_>,
    dtype: WeightDtype,
    layout: &OnnxLayout,
) -> Result<Package<'a>> {
    if dtype == WeightDtype::Bf16 {
        return Err(exporter.refuse(Format::Onnx, "ONNX runtimes do not run bfloat16 models"));
    }
    let mut graph = Graph::default();
    let cast = |to: WeightDtype| [Attribute::Int("to", element_type(to))];
    let image = match dtype {
        WeightDtype::F32 => "image".to_owned(),
        _ => graph.node("Cast", "image.cast", &["image"], &cast(dtype)),
    };
    let outputs = network::build(&mut graph, exporter, &image);
    let named = [
        ("features", Some(outputs.features)),
        ("pooled", Some(outputs.pooled)),
        ("logits", outputs.logits),
    ];
    for (name, value) in &named {
        let Some(value) = value else { continue };
        match dtype {
            WeightDtype::F32 => graph.node("Identity", *name, &[value], &[]),
            _ => graph.node("Cast", *name, &[value], &cast(WeightDtype::F32)),
        };
    }
    let size: u64 = graph.constants.iter().map(|(_, constant)| bytes(constant, dtype)).sum();
    // Nodes and names take far less than the rest of this.
    let external = layout.external || size > LARGEST_FILE - (64 << 20);
    let stays =
        |constant: &Constant<'_>| !external || bytes(constant, dtype) < SMALLEST_EXTERNAL as u64;

    let mut inline = Vec::new();
    let mut data = ExportFile::new(format!("{}.data", layout.file));
    let mut headers = Vec::new();
    for (name, constant) in graph.constants {
        if stays(&constant) {
            inline.push((name, constant));
            continue;
        }
        let Constant::Weight(part) = constant else { continue };
        let padding = data.size().next_multiple_of(ALIGNMENT) - data.size();
        data.push(vec![0; padding as usize]);
        let (at, length) = (data.size(), (part.count() * dtype.size()) as u64);
        let entries = [
            ("location", data.name.clone()),
            ("offset", at.to_string()),
            ("length", length.to_string()),
        ];
        let header = tensor(&name, &part.shape, element_type(dtype))
            .messages(13, entries.iter().map(|(key, value)| pair(key, value)))
            .integer(14, 1);
        headers.push(header);
        data.push_tensor(&name, part, dtype);
    }
    let interface = interface(exporter);
    let body = Message::default()
        .messages(1, graph.nodes)
        .bytes(2, exporter.arch)
        .messages(5, headers)
        .messages(11, [interface.image])
        .messages(12, interface.outputs);
    let model = model(exporter, layout, dtype, body.into_bytes(), inline);

    let mut files = vec![model];
    if external {
        files.insert(0, data);
    }
    let [height, width] = exporter.config.img_size;
    let logits = if exporter.config.num_classes > 0 { ", logits [N, classes]" } else { "" };
    let notes = vec![format!(
        "opset {OPSET}; input image [N, 3, {height}, {width}], normalised (the file's metadata says how); outputs features [N, {}, {}], pooled [N, D]{logits}; all f32",
        exporter.config.tokens(),
        exporter.config.embed_dim,
    )];
    Ok(Package { files, notes })
}

/// The model's file: what stays in it is written after the rest of the graph.
fn model<'a>(
    exporter: &Exporter<'_>,
    layout: &OnnxLayout,
    dtype: WeightDtype,
    body: Vec<u8>,
    inline: Vec<(String, Constant<'a>)>,
) -> ExportFile<'a> {
    // A `TensorProto` up to its contents, which are its last field.
    let heads: Vec<Vec<u8>> = inline
        .iter()
        .map(|(name, constant)| {
            let head = match constant {
                Constant::Weight(part) => tensor(name, &part.shape, element_type(dtype)),
                Constant::Integers { scalar: true, .. } => tensor(name, &[], INT64),
                Constant::Integers { values, .. } => tensor(name, &[values.len()], INT64),
            };
            [head.into_bytes(), open(9, bytes(constant, dtype))].concat()
        })
        .collect();
    let fields: Vec<Vec<u8>> = heads
        .into_iter()
        .zip(&inline)
        .map(|(head, (_, constant))| {
            let length = head.len() as u64 + bytes(constant, dtype);
            [open(5, length), head].concat()
        })
        .collect();
    let contents: u64 = fields
        .iter()
        .zip(&inline)
        .map(|(field, (_, constant))| field.len() as u64 + bytes(constant, dtype))
        .sum();

    let before = Message::default()
        .integer(1, IR_VERSION)
        .bytes(2, "singer")
        .bytes(3, env!("CARGO_PKG_VERSION"))
        .message(8, Message::default().bytes(1, "").integer(2, OPSET))
        .messages(14, metadata(exporter).iter().map(|(key, value)| pair(key, value)));
    let mut file = ExportFile::new(layout.file.clone());
    file.push(before.into_bytes());
    file.push(open(7, body.len() as u64 + contents));
    file.push(body);
    for (field, (name, constant)) in fields.into_iter().zip(inline) {
        file.push(field);
        match constant {
            Constant::Weight(part) => file.push_tensor(&name, part, dtype),
            Constant::Integers { values, .. } => {
                file.push(values.iter().flat_map(|value| value.to_le_bytes()).collect());
            }
        }
    }
    file
}

/// `TensorProto.DataType` of integers.
const INT64: i64 = 7;

/// `TensorProto.DataType`.
fn element_type(dtype: WeightDtype) -> i64 {
    match dtype {
        WeightDtype::F32 => 1,
        WeightDtype::F16 => 10,
        WeightDtype::Bf16 => 16,
    }
}

fn bytes(constant: &Constant<'_>, dtype: WeightDtype) -> u64 {
    match constant {
        Constant::Weight(part) => (part.count() * dtype.size()) as u64,
        Constant::Integers { values, .. } => 8 * values.len() as u64,
    }
}

/// A `TensorProto` without its contents.
fn tensor(name: &str, shape: &[usize], element: i64) -> Message {
    let dims: Vec<i64> = shape.iter().map(|&dim| dim as i64).collect();
    Message::default().integers(1, &dims).integer(2, element).bytes(8, name)
}

/// A `StringStringEntryProto`.
fn pair(key: &str, value: &str) -> Message {
    Message::default().bytes(1, key).bytes(2, value)
}

/// What the graph takes and gives, as `ValueInfoProto`s.
struct Interface {
    image: Message,
    outputs: Vec<Message>,
}

fn interface(exporter: &Exporter<'_>) -> Interface {
    let config = exporter.config;
    let value = |name: &str, rest: &[usize]| {
        let batch = Message::default().bytes(2, "N");
        let dims = rest.iter().map(|&dim| Message::default().integer(1, dim as i64));
        let shape = Message::default().messages(1, std::iter::once(batch).chain(dims));
        let kind = Message::default().integer(1, element_type(WeightDtype::F32)).message(2, shape);
        Message::default().bytes(1, name).message(2, Message::default().message(1, kind))
    };
    let [height, width] = config.img_size;
    let mut outputs = vec![
        value("features", &[config.tokens(), config.embed_dim]),
        value("pooled", &[config.embed_dim]),
    ];
    if config.num_classes > 0 {
        outputs.push(value("logits", &[config.num_classes]));
    }
    Interface { image: value("image", &[3, height, width]), outputs }
}

/// How to feed the model and read its tokens, in the file's own metadata.
fn metadata(exporter: &Exporter<'_>) -> Vec<(&'static str, String)> {
    let Exporter { arch, config, preprocessing, .. } = exporter;
    let list = |values: [f32; 3]| serde_json::json!(values.map(decimal)).to_string();
    vec![
        ("architecture", (*arch).to_owned()),
        ("image_mean", list(preprocessing.mean)),
        ("image_std", list(preprocessing.std)),
        ("image_preparation", preprocessing.describe(config.img_size)),
        ("patch_size", config.patch_size.to_string()),
        ("prefix_tokens", config.prefix_tokens().to_string()),
    ]
}
