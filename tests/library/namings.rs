//! Checkpoints under every published naming: recognised without being told, equal
//! to what their own implementations compute. `tests/golden/naming/make.py` made
//! them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use singer::Error;
use singer::vit::{
    Activation, FinalNorm, Pooling, Positions, QkvBias, Vit, VitConfig, init_weights, preset,
    presets,
};
use singer::weights::{self, NamedTensors, Recognised, WeightsFile, recognise};

const TOLERANCE: f32 = 1e-4;

pub(crate) fn folder() -> &'static Path {
    Path::new("tests/golden/naming")
}

pub(crate) fn cases() -> serde_json::Map<String, Value> {
    let text = fs::read_to_string(folder().join("cases.json")).unwrap();
    match serde_json::from_str(&text).unwrap() {
        Value::Object(cases) => cases,
        other => panic!("{other}"),
    }
}

/// All ways in which a case is published: its folder, and each file in it.
pub(crate) fn files(case: &str) -> Vec<PathBuf> {
    let at = folder().join(case);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let part = name.contains("-of-") || name == "io.safetensors";
        name.ends_with(".index.json") || (!part && !name.ends_with(".json"))
    });
    assert!(!files.is_empty(), "{case} has no weights");
    if at.join("model.safetensors").exists() {
        files.push(at);
    }
    files
}

pub(crate) fn recognised(path: &Path) -> Recognised {
    recognise(path).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn loaded(path: &Path, found: &Recognised) -> Vit {
    weights::load(path, &found.arch, &found.config, &Device::flex())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The largest difference of a model from a case's tensors.
pub(crate) fn difference(case: &str, model: &Vit) -> f32 {
    let io = NamedTensors::read(&folder().join(case).join("io.safetensors")).unwrap().tensors;
    let device = Device::flex();
    let image = Tensor::<4>::from_data(io["image"].clone(), &device);
    let layers: Vec<usize> = (0..model.depth()).collect();
    let mut ours: BTreeMap<String, TensorData> = BTreeMap::new();
    ours.insert("embed".into(), model.embed(image.clone()).into_data());
    for (layer, tokens) in model.intermediate(image.clone(), &layers).into_iter().enumerate() {
        ours.insert(format!("block.{layer}"), tokens.into_data());
    }
    ours.insert("final_norm".into(), model.forward_features(image.clone()).into_data());
    ours.insert("output".into(), model.forward(image).into_data());
    let mut worst = 0_f32;
    let mut compared = 0;
    for (name, wanted) in io.iter().filter(|(name, _)| *name != "image") {
        assert_eq!(wanted.shape(), ours[name].shape(), "{name} of {case}");
        for (a, b) in wanted.iter::<f32>().zip(ours[name].iter::<f32>()) {
            let apart = (a - b).abs();
            assert!(apart <= TOLERANCE, "{case}: {name} differs by {apart:.2e}");
            worst = worst.max(apart);
        }
        compared += 1;
    }
    assert!(compared >= model.depth() + 2, "{case} compares too little");
    worst
}

#[test]
fn every_naming_is_recognised_and_computes_what_its_own_implementation_does() {
    for (case, wanted) in cases() {
        for path in files(&case) {
            let found = recognised(&path);
            let config = &found.config;
            let number = |key: &str| wanted[key].as_u64().unwrap() as usize;
            let ours = [
                ("patch_size", config.patch_size),
                ("embed_dim", config.embed_dim),
                ("depth", config.depth),
                ("num_heads", config.num_heads),
                ("num_classes", config.num_classes),
                ("reg_tokens", config.reg_tokens),
            ];
            for (key, ours) in ours {
                assert_eq!(ours, number(key), "{key} of {}", path.display());
            }
            assert_eq!(config.norm_eps, wanted["norm_eps"].as_f64().unwrap(), "{case}");
            assert_eq!(json!(config.mlp), wanted["mlp"], "{case}");
            let family = wanted["family"].as_str().unwrap();
            assert!(found.arch.starts_with(&format!("{family}_d16_l2_patch4")), "{}", found.arch);
            let mut found = found.clone();
            match wanted["img_size"].as_array() {
                Some(sides) => assert_eq!(json!(config.img_size), json!(sides), "{case}"),
                // Rotary positions leave it open.
                None => found.config.img_size = [12, 12],
            }
            let worst = difference(&case, &loaded(&path, &found));
            let file = path.file_name().unwrap().to_string_lossy();
            println!("| {case} | {file} | {} | {worst:.1e} |", found.naming);
        }
    }
}

/// A file's tensors in f32, under other names; none for what is to be left out.
fn rewritten(from: &Path, to: &Path, rename: impl Fn(&str) -> Option<String>) {
    let file = WeightsFile::open(from).unwrap();
    let tensors: BTreeMap<String, TensorData> = file
        .names()
        .filter_map(|name| Some((rename(name)?, file.read(name).unwrap().unwrap())))
        .collect();
    write(to, &tensors);
}

pub(crate) fn write(to: &Path, tensors: &BTreeMap<String, TensorData>) {
    let views = tensors.iter().map(|(name, data)| {
        (name, TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes()).unwrap())
    });
    fs::write(to, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A file of a case on its own, without the configs beside it.
fn alone(case: &str, at: &Path, rename: impl Fn(&str) -> Option<String>) -> PathBuf {
    let file = at.join("alone.safetensors");
    rewritten(&folder().join(case).join("model.safetensors"), &file, rename);
    file
}

fn refused(path: &Path, parts: &[&str]) {
    let error = recognise(path).expect_err("it is not to be recognised");
    assert!(matches!(error, Error::Naming { .. }), "{error:?}");
    let line = error.to_string();
    for part in parts {
        assert!(line.contains(part), "{line} lacks {part}");
    }
    assert!(!line.contains(char::is_control) && line.len() < 1200, "{line}");
}

#[test]
fn prefixes_may_be_there_or_not() {
    let at = tempfile::tempdir().unwrap();
    let without = |prefix: &'static str| move |name: &str| Some(name.replace(prefix, ""));
    let cases = [
        ("hf_vit", "vit."),
        ("hf_dinov2_swiglu", "dinov2."),
        ("hf_clip_projection", "vision_model."),
        ("hf_deit", "deit."),
    ];
    for (case, prefix) in cases {
        let config = folder().join(case).join("config.json");
        fs::copy(config, at.path().join("config.json")).unwrap();
        let bare = alone(case, at.path(), |name| {
            let outside = ["classifier", "visual_projection"].iter().any(|o| name.starts_with(o));
            (!outside).then(|| without(prefix)(name)).flatten()
        });
        let found = recognised(&bare);
        assert_eq!(found.config.num_classes, 0, "{case}");
        loaded(&bare, &found);
        let wrapped = alone(case, at.path(), |name| Some(format!("module.{name}")));
        difference(case, &loaded(&wrapped, &recognised(&wrapped)));
    }
}

#[test]
fn without_its_config_a_model_of_a_strange_width_says_what_is_missing() {
    let at = tempfile::tempdir().unwrap();
    for case in ["hf_vit", "hf_dinov2_reg", "hf_dinov3", "hf_clip", "hf_siglip_vision"] {
        let file = alone(case, at.path(), |name| Some(name.to_owned()));
        refused(&file, &["attention heads", "16 channels", "config.json"]);
    }
}

#[test]
fn what_lies_beside_the_weights_tells_the_statistics() {
    let open_clip = recognised(&folder().join("orig_open_clip/open_clip_model.safetensors"));
    assert_eq!(open_clip.mean_std, ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]));
    assert!(open_clip.assumed.is_empty(), "{open_clip:?}");

    let at = tempfile::tempdir().unwrap();
    fs::copy(folder().join("hf_vit/config.json"), at.path().join("config.json")).unwrap();
    let file = alone("hf_vit", at.path(), |name| Some(name.to_owned()));
    let guess = recognised(&file);
    assert_eq!(guess.mean_std, ([0.5; 3], [0.5; 3]));
    assert!(guess.assumed.iter().any(|line| line.contains("channel mean")), "{guess:?}");
    let preprocessing =
        json!({ "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225] });
    fs::write(at.path().join("preprocessor_config.json"), preprocessing.to_string()).unwrap();
    let told = recognised(&file);
    assert_eq!(told.mean_std.0, [0.485, 0.456, 0.406]);
    assert!(told.assumed.is_empty(), "{told:?}");

    let saved = at.path().join("saved.safetensors");
    let model = loaded(&file, &told);
    let note = json!({ "mean": told.mean_std.0, "std": told.mean_std.1 }).to_string();
    let notes = [(weights::PREPROCESS_KEY, note)];
    weights::save_with_notes(&model, &told.arch, &told.config, &notes, &saved).unwrap();
    assert_eq!(recognised(&saved).mean_std, told.mean_std);
}

#[test]
fn parts_that_cannot_be_used_are_said_to_be_left_out() {
    for (case, what) in [
        ("hf_dinov2_swiglu", "left out its classifier"),
        ("hf_deit_teacher", "left out its two heads"),
    ] {
        let found = recognised(&folder().join(case));
        assert!(found.assumed.iter().any(|line| line.contains(what)), "{found:?}");
    }
}

#[test]
fn configs_that_cannot_be_true_are_refused() {
    let at = tempfile::tempdir().unwrap();
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(folder().join("hf_dinov3/config.json")).unwrap())
            .unwrap();
    let file = alone("hf_dinov3", at.path(), |name| Some(name.to_owned()));
    for (key, value, reason) in [
        ("num_attention_heads", json!(3), "num_heads 3"),
        ("hidden_act", json!("relu"), "activation relu"),
        ("image_size", json!(1_u64 << 40), "too large"),
        ("rope_theta", json!(-1.0), "temperature"),
        ("layer_norm_eps", json!(-1.0), "norm_eps"),
    ] {
        let before = config[key].take();
        config[key] = value;
        fs::write(at.path().join("config.json"), config.to_string()).unwrap();
        refused(&file, &[reason]);
        config[key] = before;
    }
    fs::write(at.path().join("config.json"), "{ not json").unwrap();
    refused(&file, &["attention heads"]);
}

/// A file of a model's tensors under timm's names whose elements are a hole.
fn hollow(config: &VitConfig, path: &Path) {
    let (dim, hidden) = (config.embed_dim, config.hidden_dim());
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: &str, shape: &[usize]| shapes.push((name.to_owned(), shape.to_vec()));
    let eva = config.positions.is_rotary();
    let learned = !matches!(config.positions, Positions::Rotary { .. });
    let inner = if config.mlp.is_gated() { hidden / 2 } else { hidden };
    add("patch_embed.proj.weight", &[dim, 3, config.patch_size, config.patch_size]);
    if !config.pre_norm {
        add("patch_embed.proj.bias", &[dim]);
    }
    if config.class_token {
        add("cls_token", &[1, 1, dim]);
    }
    if config.reg_tokens > 0 {
        add("reg_token", &[1, config.reg_tokens, dim]);
    }
    if learned {
        let rows = if config.no_embed_class { config.patches() } else { config.tokens() };
        add("pos_embed", &[1, rows, dim]);
    }
    for block in 0..config.depth {
        let at = format!("blocks.{block}.");
        add(&format!("{at}mlp.fc1.weight"), &[hidden, dim]);
        add(&format!("{at}mlp.fc2.weight"), &[dim, inner]);
        add(&format!("{at}attn.qkv.weight"), &[3 * dim, dim]);
        if config.scale_mlp {
            add(&format!("{at}mlp.norm.weight"), &[inner]);
        }
        if config.scale_attn_inner {
            add(&format!("{at}attn.norm.weight"), &[dim]);
        }
        match config.qkv_bias {
            QkvBias::All => add(&format!("{at}attn.qkv.bias"), &[3 * dim]),
            QkvBias::QueryValue => {
                add(&format!("{at}attn.q_bias"), &[dim]);
                add(&format!("{at}attn.v_bias"), &[dim]);
            }
            QkvBias::None => {}
        }
        if config.init_values.is_some() {
            let gain = if eva { "gamma_1" } else { "ls1.gamma" };
            add(&format!("{at}{gain}"), &[dim]);
        }
    }
    if config.pre_norm {
        add("norm_pre.weight", &[dim]);
    }
    if config.pooling == Pooling::Attention {
        add("attn_pool.latent", &[1, 1, dim]);
        let ratio = config.attn_pool_mlp_ratio.unwrap_or(config.mlp_ratio);
        add("attn_pool.mlp.fc1.weight", &[(dim as f64 * ratio) as usize, dim]);
    }
    match config.final_norm {
        FinalNorm::Tokens => add("norm.weight", &[dim]),
        FinalNorm::Pooled => add("fc_norm.weight", &[dim]),
        _ => {}
    }
    if config.num_classes > 0 {
        add("head.weight", &[config.num_classes, dim]);
    }
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in shapes {
        let from = end;
        end += 2 * shape.iter().product::<usize>();
        let entry = json!({ "dtype": "F16", "shape": shape, "data_offsets": [from, end] });
        header.insert(name, entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_slice()].concat()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
}

#[test]
fn every_preset_is_recognised_from_its_shapes_or_its_ambiguity_is_said() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("model.safetensors");
    for preset in presets() {
        let wanted = preset.config();
        hollow(&wanted, &path);
        let found = recognised(&path);
        let said = |what: &str| found.assumed.iter().any(|line| line.contains(what));
        if said(&format!("; {} has the same tensors", preset.name)) {
            // Nothing in the file tells LingBot-Vision from DINOv3.
            assert!(preset.name.ends_with("_lingbot"), "{}: {found:?}", preset.name);
            continue;
        }
        let mlp = if said("GELU") { wanted.mlp } else { found.config.mlp };
        assert_eq!(VitConfig { mlp, ..found.config.clone() }, wanted, "{}", preset.name);
        assert!(
            found.mean_std == preset.mean_std() || said("channel mean"),
            "{}: {found:?}",
            preset.name
        );
        let named = self::preset(&found.arch).expect("a preset's name").config();
        let bare = |config: VitConfig| VitConfig { num_classes: 0, mlp, ..config };
        assert_eq!(bare(named), bare(wanted), "{} as {}", preset.name, found.arch);
    }
}

#[test]
fn heads_are_of_64_channels_where_nothing_says_otherwise() {
    let at = tempfile::tempdir().unwrap();
    let file = at.path().join("model.safetensors");
    let config = VitConfig {
        embed_dim: 128,
        num_heads: 2,
        depth: 1,
        img_size: [32; 2],
        ..VitConfig::default()
    };
    let model = init_weights(config.build(&Device::flex()).unwrap(), 1);
    weights::save(&model, "x", &config, &file).unwrap();
    let plain = at.path().join("plain.safetensors");
    rewritten(&file, &plain, |name| Some(name.to_owned()));
    let found = recognised(&plain);
    assert_eq!(found.config, config);
    assert!(found.assumed.iter().any(|line| line.contains("2 attention heads")), "{found:?}");
    // What singer writes says it itself.
    let found = recognised(&file);
    assert_eq!((found.arch.as_str(), found.assumed.len()), ("x", 0));
}

#[test]
fn the_activation_of_a_clip_without_a_config_is_said_to_be_assumed() {
    let at = tempfile::tempdir().unwrap();
    let wide = wide_clip(at.path());
    let found = recognised(&wide);
    assert_eq!(found.config.mlp, Activation::Gelu);
    assert!(found.assumed.iter().any(|line| line.contains("exact GELU")), "{found:?}");
}

/// A CLIP of one 64-channel head under open_clip's names.
fn wide_clip(at: &Path) -> PathBuf {
    let zeros = |shape: &[usize]| TensorData::zeros::<f32, _>(shape.to_vec());
    let mut tensors = BTreeMap::new();
    let mut add = |name: &str, shape: &[usize]| tensors.insert(name.to_owned(), zeros(shape));
    add("visual.class_embedding", &[64]);
    add("visual.positional_embedding", &[5, 64]);
    add("visual.conv1.weight", &[64, 3, 4, 4]);
    for norm in
        ["ln_pre", "ln_post", "transformer.resblocks.0.ln_1", "transformer.resblocks.0.ln_2"]
    {
        add(&format!("visual.{norm}.weight"), &[64]);
        add(&format!("visual.{norm}.bias"), &[64]);
    }
    let layers = [
        ("attn.in_proj_", 192, 64),
        ("attn.out_proj.", 64, 64),
        ("mlp.c_fc.", 32, 64),
        ("mlp.c_proj.", 64, 32),
    ];
    for (name, rows, columns) in layers {
        add(&format!("visual.transformer.resblocks.0.{name}weight"), &[rows, columns]);
        add(&format!("visual.transformer.resblocks.0.{name}bias"), &[rows]);
    }
    add("logit_scale", &[]);
    let file = at.join("open_clip_pytorch_model.safetensors");
    write(&file, &tensors);
    loaded(&file, &recognised(&file));
    file
}

#[test]
fn names_of_no_known_kind_are_refused_with_some_of_them() {
    let at = tempfile::tempdir().unwrap();
    let file = at.path().join("language.safetensors");
    let zero = || TensorData::zeros::<f32, _>([2, 2]);
    let names = ["model.layers.0.self_attn.q_proj.weight", "lm_head.weight", "a", "b", "c"];
    write(&file, &names.iter().map(|name| ((*name).to_owned(), zero())).collect());
    refused(&file, &["5 tensors", "a, b, c, lm_head.weight, ...", "no Vision Transformer"]);
    let error = weights::load(&file, "x", &VitConfig::default(), &Device::flex()).unwrap_err();
    assert!(matches!(error, Error::Naming { .. }), "{error}");
}

#[test]
fn the_full_grid_of_c_radios_positions_is_taken_at_512_pixels() {
    let at = tempfile::tempdir().unwrap();
    let file = at.path().join("model.safetensors");
    for name in ["vit_so400m_patch16_radio_v4", "vit_base_patch16_radio_v3"] {
        let published = preset(name).unwrap().config();
        hollow(&VitConfig { img_size: [2048; 2], ..published.clone() }, &file);
        let found = recognised(&file);
        assert_eq!((found.arch.as_str(), found.config), (name, published));
    }
}

#[test]
fn an_eva_without_gates_is_named_and_refused() {
    let at = tempfile::tempdir().unwrap();
    let file = at.path().join("eva.safetensors");
    let config = VitConfig { qkv_bias: QkvBias::QueryValue, ..VitConfig::default() };
    hollow(&config, &file);
    refused(&file, &["EVA", "no gate"]);
}

#[test]
fn a_tensor_that_no_rule_knows_is_refused() {
    let at = tempfile::tempdir().unwrap();
    for (case, strange) in [
        ("hf_vit", "vit.encoder.layer.0.attention.gate"),
        ("hf_clip", "vision_model.encoder.layers.1.self_attn.scale"),
        ("hf_siglip", "vision_model.adapter.weight"),
    ] {
        fs::copy(folder().join(case).join("config.json"), at.path().join("config.json")).unwrap();
        let file = at.path().join("strange.safetensors");
        let source = WeightsFile::open(&folder().join(case).join("model.safetensors")).unwrap();
        let mut tensors: BTreeMap<String, TensorData> = source
            .names()
            .map(|name| (name.to_owned(), source.read(name).unwrap().unwrap()))
            .collect();
        tensors.insert(strange.to_owned(), TensorData::zeros::<f32, _>([48, 16]));
        write(&file, &tensors);
        let found = recognise(&file);
        let failed = found
            .and_then(|found| weights::load(&file, &found.arch, &found.config, &Device::flex()));
        let line = failed.map(|_| ()).expect_err(strange).to_string();
        assert!(line.contains(strange), "{line} lacks {strange}");
    }
}

#[test]
fn a_missing_part_of_a_fused_tensor_is_reported() {
    let at = tempfile::tempdir().unwrap();
    fs::copy(folder().join("hf_vit/config.json"), at.path().join("config.json")).unwrap();
    let file = alone("hf_vit", at.path(), |name| {
        (name != "vit.encoder.layer.1.attention.attention.key.weight").then(|| name.to_owned())
    });
    let found = recognised(&file);
    let error = weights::load(&file, &found.arch, &found.config, &Device::flex()).unwrap_err();
    let line = error.to_string();
    assert!(line.contains("mis-shaped: blocks.1.attn.qkv.weight"), "{line}");
}
