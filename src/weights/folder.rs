//! Which of a folder's files holds the weights, and the checkpoints of other programs, which
//! have to be converted first.

/// Names of weights, in order of preference: those of transformers and timm, of open_clip.
const USUAL: [&str; 5] = [
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
];

/// Endings of files that may hold weights, in order of preference.
const ENDINGS: [&str; 5] = ["safetensors", "bin", "pth", "pt", "ckpt"];

/// Beginnings of names of a training's other files.
const OTHERS: [&str; 8] = [
    "optimizer",
    "scheduler",
    "scaler",
    "training_args",
    "rng_state",
    "random_states",
    "mp_rank_",
    "adapter_model",
];

const DCP: &str = "it is a distributed checkpoint: make one file with `python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE`";
const FSDP: &str = "it holds the shards of FSDP: merge those in pytorch_model_fsdp_0 with `accelerate merge-weights FOLDER OUT`";
const DEEPSPEED: &str = "it holds the shards of DeepSpeed: merge them with `python zero_to_fp32.py FOLDER OUT`, which lies beside them";
const NUMPY: &str = "it is a NumPy archive, as of AugReg's own code: let timm read it, `torch.save(timm.create_model(NAME, checkpoint_path=FILE).state_dict(), 'weights.pth')`";
const KERAS: &str = "it is a file of TensorFlow: let transformers 4 read it, `AutoModel.from_pretrained(FOLDER, from_tf=True).save_pretrained(OUT)`";
const FLAX: &str = "it is a file of Flax: let transformers 4 read it, `AutoModel.from_pretrained(FOLDER, from_flax=True).save_pretrained(OUT)`";
const PROGRAM: &str =
    "it is a model for a runtime, not a checkpoint: take the weights that it was exported from";
const TORCH_PARTS: &str = "its weights are torch files in several parts, which are not read; ask its owner for safetensors, or convert it with transformers' save_pretrained";

/// Why no file of a folder is the one with the weights.
#[derive(Debug, PartialEq)]
pub(crate) enum Unclear {
    /// They are of another program.
    Foreign(&'static str),
    /// Several may be.
    Several(Vec<String>),
    Nothing,
}

/// The file with the weights among a folder's names; those of folders in it end in `/`.
pub(crate) fn choose<'n>(names: &[&'n str]) -> Result<&'n str, Unclear> {
    let usual = |wanted: &&str| names.iter().copied().find(|name| name == wanted);
    if let Some(name) = USUAL.iter().find_map(usual) {
        return Ok(name);
    }
    let mut weights: Vec<&str> = names.iter().copied().filter(|name| may_hold(name)).collect();
    weights.sort_by_key(|name| ENDINGS.iter().position(|&kind| Some(kind) == ending(name)));
    match weights.as_slice() {
        [] => Err(names
            .iter()
            .find_map(|name| foreign(name))
            .map_or(Unclear::Nothing, Unclear::Foreign)),
        [first, others @ ..] if others.iter().all(|other| stem(other) == stem(first)) => Ok(first),
        _ => Err(Unclear::Several(weights.iter().map(|&name| name.to_owned()).collect())),
    }
}

/// What has to be done with a checkpoint of another program, by its name.
pub(crate) fn foreign(name: &str) -> Option<&'static str> {
    let file = name.trim_end_matches('/').rsplit('/').next().unwrap_or(name);
    match ending(file) {
        _ if name.starts_with("pytorch_model_fsdp_") => Some(FSDP),
        _ if file == "zero_to_fp32.py" || file.contains("zero_pp_rank_") => Some(DEEPSPEED),
        _ if file.starts_with("mp_rank_") => Some(DEEPSPEED),
        _ if file == "pytorch_model.bin.index.json" => Some(TORCH_PARTS),
        _ if file == ".metadata" => Some(DCP),
        Some("distcp") => Some(DCP),
        Some("npz" | "npy") => Some(NUMPY),
        Some("h5" | "hdf5" | "keras") => Some(KERAS),
        Some("msgpack") => Some(FLAX),
        Some("onnx" | "gguf" | "tflite" | "pb" | "mlmodel") => Some(PROGRAM),
        _ => None,
    }
}

fn may_hold(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let part = file.contains("-of-") || file.contains("zero_pp_rank_") || file.starts_with('.');
    let other = OTHERS.iter().any(|other| file.starts_with(other));
    !part && !other && ending(file).is_some_and(|ending| ENDINGS.contains(&ending))
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn ending(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, ending)| ending)
}

#[cfg(test)]
mod tests {
    use super::{DCP, DEEPSPEED, FSDP, TORCH_PARTS, Unclear, choose};

    #[test]
    fn the_only_file_that_may_hold_weights_is_taken() {
        for (names, wanted) in [
            (&["model.pt", "README.md", "config.json"][..], "model.pt"),
            (&["EUPE-ViT-T.pt", ".gitattributes"], "EUPE-ViT-T.pt"),
            (&["x.safetensors", "optimizer.pt", "rng_state_0.pth"], "x.safetensors"),
            (&["x.bin", "x.safetensors"], "x.safetensors"),
            (&["other.pt", "pytorch_model.bin"], "pytorch_model.bin"),
            (
                &["open_clip_pytorch_model.bin", "open_clip_model.safetensors"],
                "open_clip_model.safetensors",
            ),
            (&["zero_to_fp32.py", "global_step5/", "model.safetensors"], "model.safetensors"),
        ] {
            assert_eq!(choose(names), Ok(wanted), "{names:?}");
        }
    }

    #[test]
    fn of_several_none_is_guessed() {
        let several = Unclear::Several(vec!["b.safetensors".into(), "a.pt".into()]);
        assert_eq!(choose(&["a.pt", "b.safetensors"]), Err(several));
        assert_eq!(choose(&["README.md"]), Err(Unclear::Nothing));
    }

    #[test]
    fn shards_of_a_training_name_their_converter() {
        for (names, converter) in [
            (&[".metadata", "__0_0.distcp"][..], DCP),
            (&["latest", "zero_to_fp32.py", "global_step5/"], DEEPSPEED),
            (
                &["mp_rank_00_model_states.pt", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"],
                DEEPSPEED,
            ),
            (&["optimizer_0/", "pytorch_model_fsdp_0/", "random_states_0.pkl"], FSDP),
            (&["pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin"], TORCH_PARTS),
        ] {
            assert_eq!(choose(names), Err(Unclear::Foreign(converter)), "{names:?}");
        }
    }
}
