//! How to fix an error: the library says what is wrong, the program which flag or key
//! of the configuration file changes it.

use crate::error::{Error, LimitKind, NotFiniteIn};

/// What the user can do about an error, as a clause; none where its message says all.
pub(super) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Rank { error, .. } => hint(error),
        Error::Setting { setting, .. } => key(setting).map(|key| format!("set {key}")),
        Error::Export { format, without_head, .. } => Some(match (*format, without_head) {
            ("timm", _) => "name its architecture with --arch, or use --to onnx".into(),
            ("ONNX", _) => "use --dtype f16 or f32".into(),
            (_, true) => "leave the head out with --no-head, or use --to timm or --to onnx".into(),
            (_, false) => "use --to timm or --to onnx".into(),
        }),
        Error::Overflow { .. } => Some("use another --dtype".into()),
        Error::BeyondHalf { .. } => Some("use --precision bf16 or f32".into()),
        Error::Exists { .. } => Some("choose another --out, or replace it with --force".into()),
        Error::NeedsFolder { .. } => Some("give --out a folder".into()),
        Error::Device { .. } => {
            Some("choose one with --device; `singer devices` lists what there is".into())
        }
        Error::Unreadable { .. } => {
            Some("repair or remove them, or, where there are settings, raise data.max_unreadable".into())
        }
        Error::DiskFull { .. } => Some("a training run goes on with --resume".into()),
        Error::Unwritable { .. } => Some("choose another --out".into()),
        Error::TooFewPixels { patch, .. } => Some(format!("give --size {patch} or more")),
        Error::TooManyPatches { .. } => Some("give a smaller --size".into()),
        Error::GpuLimit { kind: LimitKind::Device, .. } => {
            Some("use another device (`singer devices` lists them) or --device cpu".into())
        }
        Error::GpuLimit { .. } => Some("use fewer or smaller images, or --device cpu".into()),
        Error::Gpu { .. } => Some("try --device cpu, fewer images or a newer driver".into()),
        Error::HalfMatrices => Some("load the model in full precision".into()),
        Error::Layer { setting, .. } | Error::RepeatedLayer { setting, .. } => {
            key(setting).map(|key| format!("change {key}"))
        }
        Error::TooManyLayers { .. } | Error::NoIntermediateLayer => {
            Some("set singer.layers or --layers".into())
        }
        Error::Tokens { .. } => {
            Some("set student.img_size, student.patch_size or student.reg_tokens".into())
        }
        Error::Refinement(_) => Some("set refine or --refine to closed or none".into()),
        Error::Classes { teacher, .. } => Some(format!("set student.num_classes to {teacher}")),
        Error::Missing(what) => match *what {
            "teacher" => Some(
                "set teacher.weights or --teacher (a file of weights, or hf-hub:OWNER/NAME)".into(),
            ),
            "training images" => Some(
                "set data.path or --data (a folder of images, in class folders where labels are used, a zip of one, or scenes:N)"
                    .into(),
            ),
            "output folder" => Some("set out or --out".into()),
            "model" => Some("set model.arch or --model, e.g. vit_small_patch16_224".into()),
            _ => None,
        },
        Error::ModelSetting { role, setting, .. } => Some(match (*role, *setting) {
            ("teacher", "arch") => "set teacher.arch or --teacher-arch".into(),
            (role, "arch") => {
                format!("set {role}.arch or --{role}, e.g. vit_small_patch16_224")
            }
            (role, "img_size") => format!("set {role}.img_size or --size"),
            (role, setting) => format!("set {role}.{setting}"),
        }),
        Error::SeveralModels { .. } | Error::WeightsKey { .. } => {
            Some("give --weights-key KEY (in a file of settings weights_key)".into())
        }
        Error::NoClasses { .. } | Error::NoLabels => Some(
            "classes are not needed to distil (with label_weight = 0 and another method than none), fit, plant, recover or inspect"
                .into(),
        ),
        Error::ImageSizes { .. } => Some("set student.img_size to the teacher's".into()),
        Error::RunExists { .. } => Some("go on with --resume or choose another --out".into()),
        Error::OtherRun { .. } => Some("resume with the same ones or choose another --out".into()),
        Error::UnknownLength => Some("give --steps N (train.steps)".into()),
        Error::UnknownClasses => Some("set data.classes to their number".into()),
        Error::OnePass { .. } => {
            Some("give --limit N where the command has it, or download them first".into())
        }
        Error::NothingToDo { .. } => Some("set more epochs or steps".into()),
        Error::DataClasses { head: "the teacher's head", .. } => {
            Some("set label_weight to 0 or use the teacher's data".into())
        }
        Error::DataClasses { head: "the student's head", .. } => {
            Some("leave student.num_classes out or raise it".into())
        }
        Error::DataClasses { .. } => Some("leave model.num_classes out or raise it".into()),
        Error::NotFinite { origin: Some(origin), .. } if !matches!(origin.place, NotFiniteIn::Beyond { .. }) => {
            Some("with precision = \"f16\" use bf16 or f32, else look at that batch and those weights".into())
        }
        Error::NotFinite { .. } | Error::NotFiniteWeights { .. } => {
            Some("lower the learning rate (optimizer.lr) or clip the gradients (train.clip)".into())
        }
        Error::Diverged { .. } => {
            Some("lower the learning rate (--lr), or apply the final norm (--final-norm)".into())
        }
        Error::Features { half: true, .. } => Some("keep them in --cache-precision f32".into()),
        Error::OtherSettings { .. } => {
            Some("remove the folder to train it again, or choose another `out`".into())
        }
        Error::FeatureCache { .. } => Some("choose another --cache".into()),
        Error::Adapters(_) => {
            Some("choose other layers or `adapters`, leave them out, or set method = \"singer\"".into())
        }
        _ => None,
    }
}

/// The key, and the flag where there is one, of a setting.
fn key(setting: &'static str) -> Option<&'static str> {
    Some(match setting {
        "layers" => "singer.layers or --layers",
        "rank" => "singer.rank or --rank",
        "quantile" => "singer.quantile or --quantile",
        "limit" => "--limit",
        "workers" => "data.workers or --workers",
        "size" => "--size",
        "rates" | "fit.optimizer.lr" => "--lr",
        "fit.epochs" => "--epochs",
        "fit.batch" => "--batch",
        "bins.count" => "--bins",
        "bins.max_depth" => "--max-depth",
        "bins.temperature" => "--temperature",
        "unit" => "--unit",
        "basis" => "singer.basis or --basis",
        "block" => "--block",
        "neighbours.factor" | "neighbours.deviations" => "neighbours.outliers",
        own @ ("neighbours.temperature"
        | "registers.neurons"
        | "registers.factor"
        | "averaged.views"
        | "averaged.shift") => own,
        "strength" => "--strength",
        "share" => "--share",
        "class_share" => "--class-share",
        "seeds" => "--seeds",
        "training_free" => "--training-free",
        "foreground" => "--foreground",
        "segments" => "--segments",
        "shifts" => "--shifts",
        "marked_image" => "--mark",
        "weights.kd" => "singer.weights.kd",
        "weights.outlier" => "singer.weights.outlier",
        "weights.info" => "singer.weights.info",
        "mimic_layers" => "vitkd.mimic_layers",
        "mimic_weight" => "vitkd.mimic_weight",
        "mask_ratio" => "vitkd.mask_ratio",
        "temperature" => "kd.temperature",
        "batch" => "train.batch or --batch",
        "accumulate" => "train.accumulate or --accumulate",
        "lr" => "optimizer.lr or --lr",
        "clip" => "train.clip or --clip",
        "weight_decay" => "optimizer.weight_decay",
        "label_weight" => "label_weight or --label-weight",
        "label_smoothing" => "label_smoothing",
        "classes" => "data.classes",
        "scale" => "data.scale",
        "ratio" => "data.ratio",
        "flip" => "data.flip",
        method if method.ends_with(".weight") => method,
        part if part.starts_with("relational.") || part.starts_with("proteus.") => part,
        _ => return None,
    })
}
