//! Checkpoints as trainings leave them: a ViT under any prefix or key, beside other models.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use singer::Error;
use singer::model::ModelSpec;
use singer::vit::Precision;
use singer::weights::{self, WeightsFile};
use tempfile::TempDir;

use crate::formats::{bits_of, golden};
use crate::namings::{cases, difference, files, folder, loaded, recognised, write};

type Tensors = BTreeMap<String, TensorData>;

const PREFIXES: [&str; 16] = [
    "module.",
    "_orig_mod.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "encoder.",
    "net.",
    "vit.",
    "student.",
    "ssl_model.teacher.",
    "teacher.backbone.",
    "state_dict.",
    "backbone.",
    "model.",
    "visual.trunk.",
    "foo.bar7.",
    "0.1.",
];

/// The tensors of the published files of a case, by the names that they have there.
fn published(case: &str) -> Tensors {
    let file = WeightsFile::open(&files(case)[0]).unwrap();
    file.names().map(|name| (name.to_owned(), file.read(name).unwrap().unwrap())).collect()
}

fn under(prefix: &str, tensors: &Tensors) -> Tensors {
    tensors.iter().map(|(name, data)| (format!("{prefix}{name}"), data.clone())).collect()
}

/// A file with these tensors, beside the configs of a case.
fn file_of(case: &str, tensors: &Tensors) -> (TempDir, PathBuf) {
    let at = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder().join(case)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            fs::copy(&path, at.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let file = at.path().join("checkpoint.safetensors");
    write(&file, tensors);
    (at, file)
}

/// The line that says what was taken.
fn taken(path: &Path) -> Option<String> {
    recognised(path).assumed.into_iter().find(|line| line.starts_with("took the tensors"))
}

#[test]
fn a_vit_of_every_naming_is_found_under_every_prefix() {
    for (case, wanted) in cases() {
        // Its TorchScript archive has an integer tensor by which it is told from open_clip.
        if case == "orig_clip" {
            continue;
        }
        let tensors = published(&case);
        for prefix in PREFIXES {
            let (_at, file) = file_of(&case, &under(prefix, &tensors));
            let mut found = recognised(&file);
            if wanted["img_size"].is_null() {
                found.config.img_size = [12, 12];
            }
            difference(&case, &loaded(&file, &found));
            let line = taken(&file);
            // Only where the naming itself has this prefix there is nothing to say.
            let own = ["vit.", "visual.trunk."].contains(&prefix);
            let said =
                line.as_ref().is_some_and(|line| line.contains(prefix.trim_end_matches('.')));
            assert!(said || (own && line.is_none()), "{case} under {prefix}: {line:?}");
        }
    }
}

#[test]
fn a_prefix_is_found_in_memory_too() {
    let tensors = published("orig_dino");
    let (at, file) = file_of("orig_dino", &under("net.encoder.", &tensors));
    let held = WeightsFile::from_bytes("held", fs::read(&file).unwrap()).unwrap();
    let config = fs::read_to_string(at.path().join("config.json")).unwrap();
    let found = held.recognise(|name| (name == "config.json").then(|| config.clone())).unwrap();
    assert!(found.assumed.iter().any(|line| line.contains("`net.encoder`")), "{found:?}");
    let model = held.load(&found.arch, &found.config, &Device::flex()).unwrap();
    difference("orig_dino", &model);
}

#[test]
fn heads_and_other_parts_beside_a_prefix_are_not_taken() {
    for (case, prefix) in [("orig_dinov2_reg", "teacher.backbone."), ("hf_dinov2", "net.")] {
        let mut tensors = under(prefix, &published(case));
        for name in ["teacher.dino_head.mlp.0.weight", "criterion.center", "net_head.weight"] {
            tensors.insert(name.into(), TensorData::zeros::<f32, _>([2, 2]));
        }
        let (_at, file) = file_of(case, &tensors);
        difference(case, &loaded(&file, &recognised(&file)));
    }
    // Beside the prefix that a class of transformers gives its ViT, what is left out is said.
    let mut tensors = published("hf_vit");
    tensors.insert("projector.weight".into(), TensorData::zeros::<f32, _>([2, 2]));
    let (_at, file) = file_of("hf_vit", &tensors);
    let found = recognised(&file);
    difference("hf_vit", &loaded(&file, &found));
    assert!(found.assumed.iter().any(|line| line.contains("projector.weight")), "{found:?}");
}

/// Two models in one file, of which the one under `taken` is to be taken.
fn takes(taken_prefix: &str, other: &str) {
    let good = published("orig_dino");
    let bad: Tensors = good
        .iter()
        .map(|(name, data)| (name.clone(), TensorData::zeros::<f32, _>(data.shape().clone())))
        .collect();
    let mut tensors = under(other, &bad);
    tensors.extend(under(taken_prefix, &good));
    let (_at, file) = file_of("orig_dino", &tensors);
    difference("orig_dino", &loaded(&file, &recognised(&file)));
    let line = taken(&file).unwrap();
    let [key, other_key] = [taken_prefix, other].map(|prefix| prefix.trim_end_matches('.'));
    if !key.is_empty() {
        assert!(line.contains(&format!("under `{key}`")), "{line}");
    }
    assert!(other_key.is_empty() || line.ends_with(&format!("others: {other_key}")), "{line}");

    if !other_key.is_empty() {
        let file = WeightsFile::open(&file).unwrap().under(other_key).unwrap();
        let zeros = file.names().all(|name| {
            let values = file.read(name).unwrap().unwrap();
            values.as_slice::<f32>().unwrap().iter().all(|&value| value == 0.0)
        });
        assert!(zeros && file.names().count() == good.len(), "{other_key}");
    }
}

#[test]
fn the_average_of_weights_goes_before_the_teacher_the_model_and_the_student() {
    takes("state_dict_ema.", "state_dict.");
    takes("model_ema.module.", "model.");
    takes("ema.", "teacher.");
    takes("teacher.backbone.", "student.backbone.");
    takes("ssl_model.teacher.", "ssl_model.student.");
    takes("teacher.", "model.");
    takes("model.", "student.");
    takes("", "student.");
    takes("model.ema.", "model.");
}

#[test]
fn models_of_which_none_is_meant_more_are_listed_with_their_shapes_and_chosen_by_key() {
    let path = golden("twins.pt");
    let opened = WeightsFile::open(&path).unwrap();
    let error = weights::recognise(&path).unwrap_err();
    let Error::SeveralModels { found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(
        found.as_slice(),
        [
            "left (8 channels, 2 blocks, patches of 4)",
            "right.0 (8 channels, 2 blocks, patches of 4)"
        ]
    );
    // The architecture's name does not say which one.
    let mut spec = ModelSpec::weights(&path);
    spec.arch = Some("vit_tiny_patch16_224".into());
    assert!(matches!(spec.resolve(), Err(Error::SeveralModels { .. })));

    let wanted = bits_of(&WeightsFile::open(&golden("f32.safetensors")).unwrap());
    for key in ["left", "left."] {
        assert!(bits_of(&opened.under(key).unwrap()) == wanted, "{key}");
    }
    for key in ["right", "right.0"] {
        let other = bits_of(&opened.under(key).unwrap());
        assert!(other.len() == wanted.len() && other != wanted, "{key}");
    }
    let error = opened.under("middle").unwrap_err();
    let Error::WeightsKey { found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(found.as_slice(), ["left", "right.0"]);
}

#[test]
fn a_spec_chooses_among_the_models_of_a_checkpoint() {
    let path = golden("lightning.ckpt");
    let open = |key: Option<&str>| {
        let mut spec = ModelSpec::weights(&path);
        (spec.arch, spec.weights_key) = (Some("tiny".into()), key.map(str::to_owned));
        WeightsFile::open_under(&path, spec.weights_key.as_deref()).map(|file| bits_of(&file))
    };
    let teacher = open(None).unwrap();
    assert!(open(Some("state_dict.teacher")).unwrap() == teacher);
    let student = open(Some("state_dict.student")).unwrap();
    assert!(student.len() == teacher.len() && student != teacher);
    // An optimiser's tensors are named like a model's and are none.
    let opened = WeightsFile::open(&golden("compiled.pt")).unwrap();
    assert!(bits_of(&opened) == teacher);
    assert_eq!(opened.under("nowhere").unwrap_err().to_string().matches("module").count(), 1);
}

#[test]
fn checkpoints_of_other_programs_name_what_converts_them() {
    let at = tempfile::tempdir().unwrap();
    let torch = fs::read(golden("twins.pt")).unwrap();
    for (folder, files, converter) in [
        (
            "dcp",
            &[".metadata", "__0_0.distcp"][..],
            "torch.distributed.checkpoint.format_utils dcp_to_torch",
        ),
        (
            "deepspeed",
            &["latest", "zero_to_fp32.py", "global_step5/mp_rank_00_model_states.pt"],
            "zero_to_fp32.py",
        ),
        ("global_step5", &["zero_pp_rank_0_mp_rank_00_optim_states.pt"], "zero_to_fp32.py"),
        (
            "fsdp",
            &["pytorch_model_fsdp_0/__0_0.distcp", "optimizer_0/.metadata"],
            "accelerate merge-weights",
        ),
        ("keras", &["tf_model.h5"], "from_tf=True"),
        ("flax", &["flax_model.msgpack"], "from_flax=True"),
        ("augreg", &["S_16.npz"], "checkpoint_path=FILE"),
    ] {
        let folder = at.path().join(folder);
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &torch[..1000]).unwrap();
        }
        let mut paths = vec![folder.clone()];
        // Each of its parts, too.
        let parts =
            files.iter().filter(|file| file.ends_with("distcp") || file.contains("_model."));
        paths.extend(parts.map(|file| folder.join(file)));
        for path in paths {
            let error = WeightsFile::open(&path).unwrap_err();
            assert!(matches!(error, Error::Naming { .. }), "{error:?}");
            let line = error.to_string();
            let name = path.file_name().unwrap().to_str().unwrap();
            let wanted = if name == "__0_0.distcp" { "dcp_to_torch" } else { converter };
            assert!(line.contains(wanted) && line.contains(name) && !line.contains('…'), "{line}");
        }
    }
    // A whole file of torch.save whose tensors are pieces.
    let piece = at.path().join("zero_pp_rank_0_mp_rank_00_optim_states.pt");
    write(&piece, &[("flat".to_owned(), TensorData::zeros::<f32, _>([4]))].into());
    assert!(weights::recognise(&piece).unwrap_err().to_string().contains("zero_to_fp32.py"));
}

#[test]
fn the_only_weights_of_a_folder_are_taken_whatever_their_name() {
    let wanted = bits_of(&WeightsFile::open(&golden("f32.safetensors")).unwrap());
    for files in [
        &[("EUPE-ViT-T.pt", "plain.pth"), ("optimizer.pt", "twins.pt"), ("notes.txt", "make.py")][..],
        &[("x.bin", "twins.pt"), ("x.safetensors", "f32.safetensors")],
        &[("last.ckpt", "lightning.ckpt")],
        &[("open_clip_pytorch_model.bin", "plain.pth"), ("other.pt", "twins.pt")],
    ] {
        let at = tempfile::tempdir().unwrap();
        for (name, from) in files {
            fs::copy(golden(from), at.path().join(name)).unwrap();
        }
        assert!(bits_of(&WeightsFile::open(at.path()).unwrap()) == wanted, "{files:?}");
    }
    let at = tempfile::tempdir().unwrap();
    for name in ["a.pt", "b.pt"] {
        fs::copy(golden("plain.pth"), at.path().join(name)).unwrap();
    }
    let line = WeightsFile::open(at.path()).unwrap_err().to_string();
    assert!(line.contains("a.pt, b.pt") && line.contains("name the file"), "{line}");
}

/// A small file under timm's names with further tensors of these names and shapes.
fn with_more(more: &[(&str, &[usize])]) -> (TempDir, PathBuf) {
    let mut tensors = published("orig_dino");
    for (name, shape) in more {
        tensors.insert((*name).into(), TensorData::ones::<f32, _>(shape.to_vec()));
    }
    file_of("orig_dino", &tensors)
}

#[test]
fn what_is_left_of_a_head_is_left_out_and_said_or_its_option_is_named() {
    let head: (&str, &[usize]) = ("head.weight", &[5, 16]);
    let bias: (&str, &[usize]) = ("head.bias", &[5]);
    for (more, said) in [
        (
            &[("fc_norm.weight", &[16][..]), ("fc_norm.bias", &[16]), head, bias][..],
            "global_pool='avg'",
        ),
        (
            &[("pre_logits.fc.weight", &[16, 16]), ("pre_logits.fc.bias", &[16]), head, bias],
            "pre_logits",
        ),
        (&[("head_dist.weight", &[5, 16]), ("head_dist.bias", &[5]), head, bias], "its two heads"),
    ] {
        let (_at, file) = with_more(more);
        let found = recognised(&file);
        assert_eq!(found.config.num_classes, 0);
        assert!(found.assumed.iter().any(|line| line.contains(said)), "{said}: {found:?}");
        difference("orig_dino", &loaded(&file, &found));
    }
    for (more, option) in [
        (
            &[("blocks.0.attn.q_norm.weight", &[8][..])][..],
            "blocks.0.attn.q_norm.weight belongs to timm's qk_norm",
        ),
        (&[("blocks.1.attn.norm.weight", &[16])], "scale_attn_norm"),
        (&[("rel_pos_bias.relative_position_bias_table", &[4, 2])], "BEiT's relative positions"),
        (&[("temporal_embed", &[1, 8, 16])], "a ViT of videos"),
    ] {
        let (_at, file) = with_more(more);
        let found = recognised(&file);
        let error = weights::load(&file, &found.arch, &found.config, &Device::flex()).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error:?}");
        assert!(error.to_string().contains(option), "{error}");
    }
}

#[test]
fn a_norm_of_the_pooled_vector_alone_reads_the_mean_of_the_patch_tokens() {
    let mut tensors = published("orig_dino");
    let (_before, file) = file_of("orig_dino", &tensors);
    let plain = loaded(&file, &recognised(&file));
    for part in ["weight", "bias"] {
        let norm = tensors.remove(&format!("norm.{part}")).unwrap();
        tensors.insert(format!("fc_norm.{part}"), norm);
    }
    let (_at, file) = file_of("orig_dino", &tensors);
    let model = loaded(&file, &recognised(&file));
    let image = Tensor::<4>::random([2, 3, 12, 12], Distribution::Default, &Device::flex());
    // What timm's VisionTransformer does with global_pool='avg'.
    let last = plain.depth() - 1;
    let tokens = plain.intermediate(image.clone(), &[last]).remove(0);
    let patches = tokens.clone().narrow(1, 1, tokens.dims()[1] - 1);
    let pooled: Tensor<2> = patches.mean_dim(1).squeeze_dim(1);
    let wanted = plain.norm.unwrap().forward(pooled);
    let apart = (model.forward(image) - wanted).abs().max().into_scalar::<f32>();
    assert!(apart < 1e-5, "{apart}");
}

#[test]
fn weights_that_are_not_finite_are_refused_with_their_tensor() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut tensors = published("orig_dino");
        let weight = tensors["blocks.1.mlp.fc2.weight"].clone();
        let shape = weight.shape().clone();
        let mut values = weight.try_into_vec::<f32>().unwrap();
        values[37] = value;
        tensors.insert("blocks.1.mlp.fc2.weight".into(), TensorData::new(values, shape));
        let (_at, file) = file_of("orig_dino", &tensors);
        let found = recognised(&file);
        let error = weights::load(&file, &found.arch, &found.config, &Device::flex()).unwrap_err();
        let wanted = format!("blocks.1.mlp.fc2.weight holds {value}");
        assert!(error.to_string().contains(&wanted), "{error}");
    }
}

#[test]
fn weights_beyond_half_precision_are_refused_for_f16_alone() {
    let device = Device::flex();
    for (name, value) in [("blocks.1.mlp.fc1.weight", 7e4), ("blocks.0.attn.qkv.weight", -7e4)] {
        let mut tensors = published("orig_dino");
        let weight = tensors[name].clone();
        let shape = weight.shape().clone();
        let mut values = weight.try_into_vec::<f32>().unwrap();
        values[3] = value;
        tensors.insert(name.into(), TensorData::new(values, shape));
        let (_at, file) = file_of("orig_dino", &tensors);
        let model = loaded(&file, &recognised(&file));
        for precision in [Precision::F32, Precision::Bf16] {
            model.check_range(precision).unwrap();
        }
        let error = model.check_range(Precision::F16).unwrap_err();
        let Error::BeyondHalf { tensor, largest } = &error else { panic!("{error:?}") };
        assert_eq!((tensor.as_str(), *largest), (name, 7e4), "{error}");
    }
    let path = &files("orig_dino")[0];
    weights::load(path, "x", &recognised(path).config, &device)
        .unwrap()
        .check_range(Precision::F16)
        .unwrap();
}
