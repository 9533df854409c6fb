use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::{Device, Tensor, TensorData, bf16, f16};
use serde_json::{Value, json};
use singer::vit::{Vit, VitConfig, init_weights, preset};
use singer::weights::{self, NamedTensors, WeightsFile};

use crate::support::{distill, fail_with, run, singer, succeed, teacher, tiny};

/// What transformers has a class for.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    Whole,
    /// All but the head.
    Headless,
    None,
}

/// Golden models of tests/golden/vit and the timm name whose shape each departs
/// from, and what transformers has a class for.
const GOLDEN: [(&str, &str, Class); 30] = [
    ("clip_openai", "vit_base_patch16_clip_quickgelu_224", Class::Headless),
    ("clip_openai_strong", "vit_base_patch16_clip_quickgelu_224", Class::Headless),
    ("deit3", "deit3_small_patch16_224", Class::Whole),
    ("deit3_strong", "deit3_small_patch16_224", Class::Whole),
    ("dinov2", "vit_small_patch14_dinov2", Class::Whole),
    ("dinov2_reg4", "vit_small_patch14_reg4_dinov2", Class::Whole),
    ("dinov2_reg4_strong", "vit_small_patch14_reg4_dinov2", Class::Whole),
    ("dinov2_swiglu_strong", "vit_giant_patch14_dinov2", Class::Whole),
    ("dinov3_qkvb", "vit_small_patch16_dinov3_qkvb", Class::Whole),
    ("dinov3_plus", "vit_small_plus_patch16_dinov3_qkvb", Class::Whole),
    ("dinov3_strong", "vit_small_patch16_dinov3", Class::Whole),
    ("dinov2_swiglu_strong", "franca_vitb14", Class::Whole),
    ("eva02", "eva02_tiny_patch14_224", Class::None),
    ("eva02_clip", "eva02_base_patch16_clip_224", Class::None),
    ("eva02_norm", "eva02_base_patch14_224", Class::None),
    ("lingbot_g", "vit_giant_patch16_lingbot", Class::Whole),
    ("mae", "vit_base_patch16_224.mae", Class::Whole),
    ("openclip", "vit_base_patch16_clip_224", Class::Headless),
    ("pe_core", "vit_pe_core_base_patch16_224", Class::None),
    ("pe_g", "vit_pe_spatial_gigantic_patch14_448", Class::None),
    ("pe_lang", "vit_pe_lang_large_patch14_448", Class::None),
    ("pe_spatial", "vit_pe_spatial_base_patch16_512", Class::None),
    ("radio", "vit_huge_patch16_radio_v4", Class::None),
    ("siglip", "vit_base_patch16_siglip_224", Class::Whole),
    ("siglip_strong", "vit_base_patch16_siglip_224", Class::Whole),
    ("tipsv2", "vit_base_patch14_reg1_tipsv2", Class::Whole),
    ("tipsv2_g", "vit_giant_patch14_reg1_tipsv2", Class::Whole),
    ("vit_augreg", "vit_tiny_patch16_224", Class::Whole),
    ("vit_augreg_strong", "vit_tiny_patch16_224", Class::Whole),
    ("vit_rect", "vit_tiny_patch16_224", Class::Whole),
];

fn export(weights: &Path, form: &str, out: &Path) -> Command {
    let mut command = singer();
    command.arg("export").arg(weights).args(["--to", form, "--out"]).arg(out);
    command
}

/// A golden model's file with its shape in it, as singer writes it.
fn golden(name: &str, arch: &str, folder: &Path) -> (PathBuf, VitConfig) {
    let from = PathBuf::from(format!("tests/golden/vit/{name}.safetensors"));
    let file = WeightsFile::open(&from).unwrap();
    let shape = |name: &str| file.shape(name).map(<[usize]>::to_vec);
    let text = fs::read_to_string(from.with_extension("json")).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    let side = &told["img_size"];
    let sides = side.as_u64().map(|side| [side as usize; 2]);
    let kernel = shape("patch_embed.proj.weight").unwrap();
    let depth = (0..).take_while(|i| shape(&format!("blocks.{i}.norm1.weight")).is_some()).count();
    let mut config = VitConfig {
        img_size: sides.unwrap_or_else(|| serde_json::from_value(side.clone()).unwrap()),
        patch_size: kernel[2],
        embed_dim: kernel[0],
        depth,
        num_heads: told["num_heads"].as_u64().unwrap() as usize,
        mlp_ratio: shape("blocks.0.mlp.fc1.weight").unwrap()[0] as f64 / kernel[0] as f64,
        num_classes: shape("head.weight").map_or(0, |shape| shape[0]),
        ..preset(arch).unwrap().config()
    };
    let mut fields = serde_json::to_value(&config).unwrap();
    for (name, value) in told["config"].as_object().into_iter().flatten() {
        fields[name] = value.clone();
    }
    config = serde_json::from_value(fields).unwrap();
    let vit = weights::load(&from, arch, &config, &Device::flex()).unwrap();
    let path = folder.join(format!("{name}.safetensors"));
    weights::save(&vit, arch, &config, &path).unwrap();
    (path, config)
}

/// A model whose every tensor is neither zero nor small, but for `kept`, and its
/// reference outputs by our own forward pass, which the golden models check.
fn made(
    name: &str,
    arch: &str,
    config: &VitConfig,
    kept: &str,
    folder: &Path,
) -> (PathBuf, PathBuf) {
    let device = Device::flex();
    let path = folder.join(format!("{name}.safetensors"));
    let vit = init_weights(config.build(&device).unwrap(), 3);
    weights::save(&vit, arch, config, &path).unwrap();
    let mut file = NamedTensors::read(&path).unwrap();
    for (number, (name, data)) in file.tensors.iter_mut().enumerate() {
        if name != kept {
            let shake =
                |(i, value): (usize, f32)| value + 0.1 * ((i * 7 + number * 3) as f32).sin();
            let values: Vec<f32> = data.iter::<f32>().enumerate().map(shake).collect();
            *data = TensorData::new(values, data.shape().to_vec());
        }
    }
    file.write(&path).unwrap();
    let vit = weights::load(&path, arch, config, &device).unwrap();
    let io = folder.join(format!("{name}.io.safetensors"));
    outputs(&vit, config).write(&io).unwrap();
    (path, io)
}

fn outputs(vit: &Vit, config: &VitConfig) -> NamedTensors {
    let [height, width] = config.img_size;
    let pixels: Vec<f32> = (0..2 * 3 * height * width).map(|i| (i as f32 * 0.37).sin()).collect();
    let image = TensorData::new(pixels, [2, 3, height, width]);
    let features = vit.forward_features(Tensor::from_data(image.clone(), &vit.device()));
    let pooled = vit.pool(features.clone());
    let output = match &vit.head {
        Some(head) => head.forward(pooled),
        None => pooled,
    };
    let mut file = NamedTensors::default();
    for (name, data) in
        [("image", image), ("final_norm", features.into_data()), ("output", output.into_data())]
    {
        file.tensors.insert(name.into(), data);
    }
    file
}

/// What no golden model has: heads in the other classes of transformers, the tanh
/// form of GELU, registers with gates, rotary positions on a grid that is not square.
fn others(folder: &Path) -> Vec<(String, PathBuf, PathBuf, VitConfig)> {
    let small = |arch: &str, patch_size: usize, num_classes: usize| VitConfig {
        img_size: [4 * patch_size; 2],
        patch_size,
        embed_dim: 48,
        depth: 2,
        num_heads: 4,
        num_classes,
        ..preset(arch).unwrap().config()
    };
    let cases = [
        ("siglip_gap_head", "vit_large_patch16_siglip_gap_512", 8, 7, ""),
        ("clip_projection", "vit_base_patch16_clip_quickgelu_224", 8, 6, "head.bias"),
        ("dinov2_reg4_swiglu_head", "vit_giant_patch14_reg4_dinov2", 14, 5, ""),
        ("siglip_tanh", "vit_giantopt_patch16_siglip_256", 8, 0, ""),
        ("dinov3_rect", "vit_small_patch16_dinov3_qkvb", 8, 0, ""),
    ];
    let mut found = Vec::new();
    for (name, arch, patch, classes, kept) in cases {
        let mut config = small(arch, patch, classes);
        if name.ends_with("rect") {
            config.img_size = [24, 40];
        }
        config.mlp_ratio = if name.contains("swiglu") { 16.0 / 3.0 } else { 4.0 };
        let (path, io) = made(name, arch, &config, kept, folder);
        found.push((name.to_owned(), path, io, config));
    }
    found
}

/// A Python that imports what the proofs need.
fn python() -> Option<String> {
    let name = std::env::var("SINGER_PYTHON").unwrap_or_else(|_| "python3".into());
    let needs = "import torch, timm, transformers, safetensors, onnx, onnxruntime, PIL";
    let found = Command::new(&name).args(["-c", needs]).output();
    found.is_ok_and(|output| output.status.success()).then_some(name)
}

#[test]
fn every_family_runs_the_same_in_timm_transformers_and_onnxruntime() {
    let required = std::env::var_os("SINGER_REQUIRE_PYTHON").is_some_and(|value| value == "1");
    let Some(python) = python() else {
        assert!(
            !required,
            "SINGER_REQUIRE_PYTHON=1, but no Python with tests/export/requirements.txt"
        );
        eprintln!(
            "skipped: exports are not compared with timm, transformers and onnxruntime, as no Python has tests/export/requirements.txt; set SINGER_PYTHON to one"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut cases = Vec::new();
    for (name, arch, class) in GOLDEN {
        let folder = root.join(arch);
        fs::create_dir_all(&folder).unwrap();
        let (weights, config) = golden(name, arch, &folder);
        let io = std::env::current_dir().unwrap();
        let io = io.join(format!("tests/golden/vit/{name}.io.safetensors"));
        cases.push((format!("{name} as {arch}"), weights, io, config, class));
    }
    let made = others(root).into_iter();
    cases.extend(made.map(|(name, weights, io, config)| (name, weights, io, config, Class::Whole)));

    let mut manifest = Vec::new();
    for (name, weights, io, config, class) in cases {
        let out = |form: &str| root.join("exports").join(&name).join(form);
        let (timm, hf) = (out("timm"), out("hf"));
        let (onnx, half) = (out("model.onnx"), out("half"));
        succeed(&mut export(&weights, "timm", &timm));
        let headless = class == Class::Headless;
        if headless {
            let parts = ["--no-head", "--to timm or --to onnx"];
            fail_with(&mut export(&weights, "hf", &hf), &parts);
        }
        if class == Class::None {
            let parts = ["transformers: it has no class with", "--to timm or --to onnx"];
            fail_with(&mut export(&weights, "hf", &hf), &parts);
        } else {
            succeed(export(&weights, "hf", &hf).args(headless.then_some("--no-head")));
        }
        succeed(&mut export(&weights, "onnx", &onnx));
        succeed(export(&weights, "onnx", &half).args(["--dtype", "f16", "--external-data"]));
        assert!(half.join("model.onnx.data").is_file());
        manifest.push(json!({
            "name": name,
            "io": io,
            "classes": config.num_classes,
            "timm": timm,
            "hf": (class != Class::None).then_some(hf),
            "headless": headless,
            "onnx": onnx,
            "onnx_f16": half.join("model.onnx"),
        }));
    }
    let file = root.join("manifest.json");
    fs::write(&file, Value::from(manifest).to_string()).unwrap();
    let outcome = run(Command::new(python).arg("tests/export/check.py").arg(&file));
    println!("{}", outcome.stdout);
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
}

fn bits(path: &Path) -> BTreeMap<String, Vec<u32>> {
    let file = WeightsFile::open(path).unwrap();
    let read = |name: &str| {
        let values = file.read(name).unwrap();
        (name.to_owned(), values.unwrap().iter::<f32>().map(f32::to_bits).collect())
    };
    file.names().map(read).collect()
}

#[test]
fn an_export_for_timm_has_the_same_bits_and_comes_back_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, arch) in [
        ("siglip", "vit_base_patch16_siglip_224"),
        ("dinov3_qkvb", "vit_small_patch16_dinov3_qkvb"),
    ] {
        let (weights, _) = golden(name, arch, folder.path());
        let [first, second] = ["first", "second"].map(|part| folder.path().join(name).join(part));
        succeed(&mut export(&weights, "timm", &first));
        assert_eq!(bits(&first.join("model.safetensors")), bits(&weights));
        succeed(&mut export(&first, "timm", &second));
        for file in ["model.safetensors", "config.json", "README.md"] {
            let [first, second] = [&first, &second].map(|part| fs::read(part.join(file)).unwrap());
            assert!(first == second, "{file} of {name} changed");
        }
    }
}

#[test]
fn what_timm_keeps_in_parts_is_put_together_again() {
    let folder = tempfile::tempdir().unwrap();
    for (name, arch, part) in [
        ("eva02_clip", "eva02_base_patch16_clip_224", "blocks.0.attn.v_proj.bias"),
        ("lingbot_g", "vit_giant_patch16_lingbot", "blocks.1.mlp.fc1_x.weight"),
    ] {
        let (weights, config) = golden(name, arch, folder.path());
        let out = folder.path().join(format!("{name}-timm"));
        succeed(&mut export(&weights, "timm", &out));
        let exported = out.join("model.safetensors");
        assert!(WeightsFile::open(&exported).unwrap().shape(part).is_some(), "{name}");
        let vit = weights::load(&exported, arch, &config, &Device::flex()).unwrap();
        let again = folder.path().join(format!("{name}-again.safetensors"));
        weights::save(&vit, arch, &config, &again).unwrap();
        assert_eq!(bits(&again), bits(&weights), "{name}");
    }
}

#[test]
fn every_form_gives_the_same_bytes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, _) = golden("clip_openai", "vit_base_patch16_clip_quickgelu_224", folder.path());
    for form in ["timm", "hf", "onnx"] {
        let [first, second] = ["first", "second"].map(|part| folder.path().join(form).join(part));
        for out in [&first, &second] {
            succeed(export(&weights, form, out).args(["--no-head", "--dtype", "f16"]));
        }
        let mut files = 0;
        for entry in fs::read_dir(&first).unwrap() {
            let path = entry.unwrap().path();
            let other = second.join(path.file_name().unwrap());
            assert!(fs::read(&path).unwrap() == fs::read(other).unwrap(), "{}", path.display());
            files += 1;
        }
        assert_eq!(files, if form == "onnx" { 1 } else { fs::read_dir(&second).unwrap().count() });
    }
}

#[test]
fn narrower_weights_are_each_value_rounded_to_nearest_even() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, _) = golden("vit_augreg_strong", "vit_tiny_patch16_224", folder.path());
    let half = |bits: u32| f16::from_f32(f32::from_bits(bits)).to_f32().to_bits();
    let brain = |bits: u32| bf16::from_f32(f32::from_bits(bits)).to_f32().to_bits();
    let cases: [(&str, &dyn Fn(u32) -> u32); 2] = [("f16", &half), ("bf16", &brain)];
    for (dtype, rounded) in cases {
        let out = folder.path().join(dtype);
        succeed(export(&weights, "timm", &out).args(["--dtype", dtype]));
        let exported = out.join("model.safetensors");
        assert!(fs::metadata(&exported).unwrap().len() < fs::metadata(&weights).unwrap().len());
        let wanted = bits(&weights)
            .into_iter()
            .map(|(name, values)| (name, values.into_iter().map(rounded).collect::<Vec<_>>()));
        assert_eq!(bits(&exported), wanted.collect());
    }
}

#[test]
fn values_beyond_half_precision_are_counted_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, _) = golden("mae", "vit_base_patch16_224.mae", folder.path());
    let mut file = NamedTensors::read(&weights).unwrap();
    let data = file.tensors.get_mut("blocks.1.mlp.fc2.weight").unwrap();
    let mut values: Vec<f32> = data.iter::<f32>().collect();
    (values[0], values[5], values[7]) = (65519.0, 65520.0, -3e5);
    *data = TensorData::new(values, data.shape().to_vec());
    file.write(&weights).unwrap();
    for form in ["timm", "hf", "onnx"] {
        let out = folder.path().join(form);
        fail_with(
            export(&weights, form, &out).args(["--dtype", "f16"]),
            &["2 values", "-3e5", ".1.", "another --dtype"],
        );
        assert!(!out.join("model.onnx").exists() && !out.join("config.json").exists());
    }
    let left = fs::read_dir(folder.path()).unwrap();
    let left = left.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".singer")
    });
    assert_eq!(left.count(), 0, "an unfinished folder stayed");
    succeed(export(&weights, "timm", &folder.path().join("wide")).args(["--dtype", "bf16"]));
}

#[test]
fn a_runs_folder_is_exported_with_its_statistics_and_its_numbers() {
    let (folder, teacher) = teacher();
    let pretrained = folder.path().join("teacher-timm");
    succeed(&mut export(teacher.parent().unwrap(), "timm", &pretrained));
    let run = folder.path().join("run");
    let mean = "data.mean=[0.1, 0.2, 0.3]";
    succeed(distill(&teacher, &run, 2).args(["--set", mean]));
    for given in [run.clone(), run.join("student.safetensors")] {
        let out = folder.path().join(format!("hf-{}", given.is_dir()));
        succeed(&mut export(&given, "hf", &out));
        let text = |name: &str| fs::read_to_string(out.join(name)).unwrap();
        let processor: Value = serde_json::from_str(&text("preprocessor_config.json")).unwrap();
        assert_eq!(processor["image_mean"], json!([0.1, 0.2, 0.3]));
        let card = text("README.md");
        for part in [
            "---\nlibrary_name: transformers",
            "singer distill",
            "features, first and last step",
            "| seed | 0 |",
            "| teacher | vit_tiny_patch16_224 |",
        ] {
            assert!(card.contains(part), "the card lacks {part}: {card}");
        }
        let private = folder.path().to_string_lossy().into_owned();
        assert!(!card.contains(&private), "the card names a folder of this machine");
    }
    fs::remove_file(run.join("student.safetensors")).unwrap();
    fail_with(
        &mut export(&run, "timm", &folder.path().join("none")),
        &["run.json", "no student.safetensors yet"],
    );
}

#[test]
fn the_card_of_a_run_by_another_method_does_not_say_singer() {
    let (folder, teacher) = teacher();
    for (method, origin) in [
        ("fitnet", "[FitNets]"),
        ("cosine", "cosines"),
        ("normalised", "LayerNorm"),
        ("relational", "similarities"),
        ("proteus", "[Proteus]"),
        ("vitkd", "[ViTKD]"),
        ("vitkd-reference", "[ViTKD]"),
        ("kd", "[knowledge distillation]"),
        ("none", "labels alone"),
    ] {
        let run = folder.path().join(method);
        succeed(distill(&teacher, &run, 1).args(["--method", method]));
        let out = folder.path().join(format!("{method}-timm"));
        succeed(&mut export(&run, "timm", &out));
        let card = fs::read_to_string(out.join("README.md")).unwrap();
        assert!(card.contains(origin), "{method}: {card}");
        let claims = ["by [SiNGER]", "refined features", "singer.rank"];
        assert!(!claims.iter().any(|claim| card.contains(claim)), "{method}: {card}");
    }
}

#[test]
fn what_cannot_be_exported_is_one_line_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, _) = golden("mae", "vit_base_patch16_224.mae", folder.path());
    let out = folder.path().join("out");
    let unknown = run(&mut export(&weights, "tflite", &out));
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("timm, hf, onnx"), "{}", unknown.stderr);
    fail_with(
        export(&weights, "onnx", &out).args(["--dtype", "bf16"]),
        &["bfloat16", "--dtype f16 or f32"],
    );
    fail_with(
        &mut export(&folder.path().join("no-run"), "timm", &out),
        &["no-run", "No such file"],
    );
    let file = folder.path().join("a file");
    fs::write(&file, "text").unwrap();
    fail_with(&mut export(&weights, "timm", &file), &["a file names a file", "--out a folder"]);
    fail_with(&mut export(&weights, "timm", &file.join("below")), &["a file"]);
    fail_with(&mut export(&weights, "hf", &folder.path().join("x.onnx")), &["several files"]);
    assert!(!out.exists());

    fs::create_dir(&out).unwrap();
    succeed(&mut export(&weights, "timm", &out));
    let before = fs::read(out.join("model.safetensors")).unwrap();
    fail_with(
        export(&weights, "timm", &out).args(["--dtype", "f16"]),
        &["is there already", "--force"],
    );
    assert!(before == fs::read(out.join("model.safetensors")).unwrap());
    succeed(export(&weights, "timm", &out).args(["--dtype", "f16", "--force"]));
    assert!(before != fs::read(out.join("model.safetensors")).unwrap());
    let model = folder.path().join("model.onnx");
    fs::write(folder.path().join("model.onnx.data"), "older").unwrap();
    fail_with(&mut export(&weights, "onnx", &model), &["model.onnx.data is there", "--force"]);
}

#[test]
fn registers_that_transformers_has_no_class_for_leave_for_timm() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeed(
        singer()
            .args(["pretrain", "--model", "vit_tiny_patch16_224", "--data", "scenes:16"])
            .args(["--batch", "8", "--steps", "1", "--device", "cpu", "--out"])
            .arg(&run)
            .args(tiny("model"))
            .args(["--set", "model.reg_tokens=2"]),
    );
    fail_with(
        &mut export(&run, "hf", &folder.path().join("hf")),
        &["no class", "register tokens", "--to timm or --to onnx"],
    );
    let outcome = succeed(&mut export(&run, "timm", &folder.path().join("timm")));
    assert!(outcome.stdout.contains("reg_tokens=2"), "{}", outcome.stdout);
}

/// What huggingface_hub reads at the head of a card: as it stores it, with its scores.
const READ_CARD: &str = "
import json, sys
from huggingface_hub import ModelCard
card = ModelCard.load(sys.argv[1])
data = card.data.to_dict()
data['scores'] = [[r.task_type, r.dataset_name, r.metric_type, r.metric_name, r.metric_value]
                  for r in card.data.eval_results or []]
print(json.dumps(data))
";

#[test]
fn a_card_holds_what_the_hub_reads_and_nothing_that_nobody_said() {
    let (folder, model) = teacher();
    let probe = folder.path().join("probe");
    let mut command = singer();
    command.args(["probe", "classify"]).arg(&model).args(["--device", "cpu", "--no-cache"]);
    command.args(["--train", "scenes:24", "--test", "scenes:24-32", "--epochs", "1", "--out"]);
    succeed(command.arg(&probe));
    let report: Value =
        serde_json::from_slice(&fs::read(probe.join("probe.json")).unwrap()).unwrap();

    let [bare, full] = ["bare", "full"].map(|name| folder.path().join(name));
    let outcome = succeed(&mut export(&model, "timm", &bare));
    assert!(outcome.stdout.contains("states no licence"), "{}", outcome.stdout);
    let mut command = export(&model, "timm", &full);
    command.args(["--license", "apache-2.0", "--base-model", "someone/a-teacher"]);
    command.args(["--dataset", "a: set", "--dataset", "uoft-cs/cifar10", "--probe"]);
    let outcome = succeed(command.arg(&probe));
    assert!(outcome.stdout.contains("hf upload OWNER/NAME"), "{}", outcome.stdout);

    let text = |folder: &Path| fs::read_to_string(folder.join("README.md")).unwrap();
    for key in ["license:", "base_model:", "datasets:", "model-index:"] {
        assert!(!text(&bare).contains(key), "{}", text(&bare));
        assert!(text(&full).contains(key), "{}", text(&full));
    }
    if let Some(python) = python() {
        let read =
            succeed(Command::new(python).args(["-c", READ_CARD]).arg(full.join("README.md")));
        let card: Value = serde_json::from_str(&read.stdout).unwrap();
        assert_eq!(card["license"], "apache-2.0");
        assert_eq!(card["base_model"], json!(["someone/a-teacher"]));
        assert_eq!(card["datasets"], json!(["a: set", "uoft-cs/cifar10"]));
        let test = &report["result"]["test"];
        let scores = card["scores"].as_array().unwrap();
        assert_eq!(scores.len(), 2, "{card}");
        for (score, key) in scores.iter().zip(["top1", "knn_top1"]) {
            assert_eq!([&score[0], &score[2]], ["image-classification", "accuracy"]);
            assert_eq!(score[1], "scenes:24-32");
            let [found, wanted] = [&score[4], &test[key]].map(|value| value.as_f64().unwrap());
            assert!((found - wanted).abs() < 1e-4, "{card}");
        }
    }

    let nothing = folder.path().join("nothing.json");
    fs::write(&nothing, "{}").unwrap();
    let mut command = export(&model, "timm", &folder.path().join("none"));
    fail_with(command.arg("--probe").arg(&nothing), &["nothing.json", "no score"]);
    assert!(!folder.path().join("none").exists());
}
