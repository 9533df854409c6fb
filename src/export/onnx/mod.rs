//! Models as ONNX: our own graph, written in the wire format of
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>, whose field numbers
//! stand here and in `graph`.

mod graph;
mod network;
mod protobuf;

use graph::{Attribute, Constant, Graph};
use protobuf::{Message, open};

use super::file::{ExportFile, Package};
use super::precision::Precision;
use super::{Subject, decimal};
use crate::error::{Error, Result};

/// The version of the operators: the first with LayerNormalization, which every
/// current runtime, onnxruntime-web among them, has on all of its backends.
pub const OPSET: i64 = 17;
/// The version of the file format that goes with it.
const IR_VERSION: i64 = 8;
/// A file beyond this cannot be read: protocol buffers end at 2 GiB.
const LARGEST_FILE: u64 = (1 << 31) - 1;
/// Weights smaller than this stay in the model where others have a file of their
/// own; runtimes look into shapes and scalars before they run.
const SMALLEST_EXTERNAL: usize = 1024;
/// Of a tensor in a file of its own, so that it can be mapped.
const ALIGNMENT: u64 = 4096;

/// Where a model's parts go.
#[derive(Debug, Clone)]
pub struct OnnxLayout {
    /// The model's file name; weights outside it are in `<file>.data`.
    pub file: String,
    /// Whether weights have a file of their own also below 2 GiB.
    pub external: bool,
}

pub(super) fn package<'a>(
    subject: &'a Subject<'_>,
    precision: Precision,
    layout: &OnnxLayout,
) -> Result<Package<'a>> {
    if precision == Precision::Bf16 {
        return Err(Error::config(
            "ONNX runtimes do not run bfloat16 models: use --dtype f16 or f32",
        ));
    }
    let mut graph = Graph::default();
    let cast = |to: Precision| [Attribute::Int("to", element_type(to))];
    let image = match precision {
        Precision::F32 => "image".to_owned(),
        _ => graph.node("Cast", "image.cast", &["image"], &cast(precision)),
    };
    let outputs = network::build(&mut graph, subject, &image);
    let named = [
        ("features", Some(outputs.features)),
        ("pooled", Some(outputs.pooled)),
        ("logits", outputs.logits),
    ];
    for (name, value) in &named {
        let Some(value) = value else { continue };
        match precision {
            Precision::F32 => graph.node("Identity", *name, &[value], &[]),
            _ => graph.node("Cast", *name, &[value], &cast(Precision::F32)),
        };
    }
    let size: u64 = graph.constants.iter().map(|(_, constant)| bytes(constant, precision)).sum();
    // Nodes and names take far less than the rest of this.
    let external = layout.external || size > LARGEST_FILE - (64 << 20);
    let stays = |constant: &Constant<'_>| {
        !external || bytes(constant, precision) < SMALLEST_EXTERNAL as u64
    };

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
        let (at, length) = (data.size(), (part.count() * precision.size()) as u64);
        let entries = [
            ("location", data.name.clone()),
            ("offset", at.to_string()),
            ("length", length.to_string()),
        ];
        let header = tensor(&name, &part.shape, element_type(precision))
            .messages(13, entries.iter().map(|(key, value)| pair(key, value)))
            .integer(14, 1);
        headers.push(header);
        data.push_tensor(&name, part, precision);
    }
    let interface = interface(subject);
    let body = Message::default()
        .messages(1, graph.nodes)
        .bytes(2, subject.arch)
        .messages(5, headers)
        .messages(11, [interface.image])
        .messages(12, interface.outputs);
    let model = model(subject, layout, precision, body.into_bytes(), inline);

    let mut files = vec![model];
    if external {
        files.insert(0, data);
    }
    let [height, width] = subject.config.img_size;
    let logits = if subject.config.num_classes > 0 { ", logits [N, classes]" } else { "" };
    let notes = vec![format!(
        "opset {OPSET}; input image [N, 3, {height}, {width}], normalised (the file's metadata says how); outputs features [N, {}, {}], pooled [N, D]{logits}; all f32",
        subject.config.tokens(),
        subject.config.embed_dim,
    )];
    Ok(Package { files, notes })
}

/// The model's file: what stays in it is written after the rest of the graph.
fn model<'a>(
    subject: &Subject<'_>,
    layout: &OnnxLayout,
    precision: Precision,
    body: Vec<u8>,
    inline: Vec<(String, Constant<'a>)>,
) -> ExportFile<'a> {
    // A `TensorProto` up to its contents, which are its last field.
    let heads: Vec<Vec<u8>> = inline
        .iter()
        .map(|(name, constant)| {
            let head = match constant {
                Constant::Weight(part) => tensor(name, &part.shape, element_type(precision)),
                Constant::Integers { scalar: true, .. } => tensor(name, &[], INT64),
                Constant::Integers { values, .. } => tensor(name, &[values.len()], INT64),
            };
            [head.into_bytes(), open(9, bytes(constant, precision))].concat()
        })
        .collect();
    let fields: Vec<Vec<u8>> = heads
        .into_iter()
        .zip(&inline)
        .map(|(head, (_, constant))| {
            let length = head.len() as u64 + bytes(constant, precision);
            [open(5, length), head].concat()
        })
        .collect();
    let contents: u64 = fields
        .iter()
        .zip(&inline)
        .map(|(field, (_, constant))| field.len() as u64 + bytes(constant, precision))
        .sum();

    let before = Message::default()
        .integer(1, IR_VERSION)
        .bytes(2, "singer")
        .bytes(3, env!("CARGO_PKG_VERSION"))
        .message(8, Message::default().bytes(1, "").integer(2, OPSET))
        .messages(14, metadata(subject).iter().map(|(key, value)| pair(key, value)));
    let mut file = ExportFile::new(layout.file.clone());
    file.push(before.into_bytes());
    file.push(open(7, body.len() as u64 + contents));
    file.push(body);
    for (field, (name, constant)) in fields.into_iter().zip(inline) {
        file.push(field);
        match constant {
            Constant::Weight(part) => file.push_tensor(&name, part, precision),
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
fn element_type(precision: Precision) -> i64 {
    match precision {
        Precision::F32 => 1,
        Precision::F16 => 10,
        Precision::Bf16 => 16,
    }
}

fn bytes(constant: &Constant<'_>, precision: Precision) -> u64 {
    match constant {
        Constant::Weight(part) => (part.count() * precision.size()) as u64,
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

fn interface(subject: &Subject<'_>) -> Interface {
    let config = subject.config;
    let value = |name: &str, rest: &[usize]| {
        let batch = Message::default().bytes(2, "N");
        let dims = rest.iter().map(|&dim| Message::default().integer(1, dim as i64));
        let shape = Message::default().messages(1, std::iter::once(batch).chain(dims));
        let kind = Message::default().integer(1, element_type(Precision::F32)).message(2, shape);
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
fn metadata(subject: &Subject<'_>) -> Vec<(&'static str, String)> {
    let Subject { arch, config, preprocessing, .. } = subject;
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
