use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::models::WeightsArgs;
use crate::export::{Format, WeightDtype};

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  singer export runs/large-to-tiny --to timm --out student-timm
  singer export runs/large-to-tiny --to hf --dtype bf16 --out student-hf
  singer export student.safetensors --to onnx --dtype f16 --out student.onnx")]
pub(in crate::cli) struct ExportArgs {
    /// The folder of a finished run, or a model's weights: a file, a model of the
    /// hub (`hf-hub:OWNER/NAME[/FILE][@REVISION]`), or a timm name with its tag
    pub(super) weights: PathBuf,
    /// The runtime to export for
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) to: Form,
    /// Output folder; for onnx also a file (`model.onnx`)
    #[arg(short, long, value_name = "DIR_OR_FILE")]
    pub(super) out: PathBuf,
    /// Data type of the weights
    #[arg(long, value_enum, default_value = "f32")]
    pub(super) dtype: Dtype,
    #[command(flatten)]
    pub(super) read: WeightsArgs,
    /// Leave the head out
    #[arg(long)]
    pub(super) no_head: bool,
    /// For onnx: keep the weights in a file of their own (always so above 2 GiB)
    #[arg(long)]
    pub(super) external_data: bool,
    /// For the model card: the licence as the hub names it, as `apache-2.0`; else it states none
    #[arg(long, value_name = "NAME")]
    pub(super) license: Option<String>,
    /// For the model card: a model on the hub that this one was made from; by default the
    /// teacher, where the run took it from the hub
    #[arg(long, value_name = "OWNER/NAME")]
    pub(super) base_model: Vec<String>,
    /// For the model card: a data set that it was trained on, as the hub names it
    #[arg(long, value_name = "NAME")]
    pub(super) dataset: Vec<String>,
    /// For the model card: the scores in this `probe.json`, from `singer probe --out`
    #[arg(long, value_name = "FILE")]
    pub(super) probe: Vec<PathBuf>,
    /// Overwrite existing files
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// model.safetensors and config.json, for timm.create_model("local-dir:DIR")
    Timm,
    /// A folder for transformers' from_pretrained
    Hf,
    /// One graph (opset 17) for onnxruntime, onnxruntime-web and others
    Onnx,
}

impl Form {
    pub(super) fn format(self) -> Format {
        match self {
            Self::Timm => Format::Timm,
            Self::Hf => Format::Transformers,
            Self::Onnx => Format::Onnx,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Dtype {
    /// Single precision, exactly as stored
    F32,
    /// Half precision; refused where a value exceeds 65504
    F16,
    /// bfloat16; not for onnx
    Bf16,
}

impl Dtype {
    pub(super) fn dtype(self) -> WeightDtype {
        match self {
            Self::F32 => WeightDtype::F32,
            Self::F16 => WeightDtype::F16,
            Self::Bf16 => WeightDtype::Bf16,
        }
    }
}
