use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::card::{Card, Fact};
use super::metadata::HubMetadata;
use crate::error::{Error, Result};

/// Name of the student in the folder of a distillation.
pub(crate) const STUDENT: &str = "student.safetensors";
/// Name of the model in the folder of a supervised training.
pub(crate) const MODEL: &str = "model.safetensors";
/// The record of a run, by which its folder is known.
pub(crate) const RUN_FILE: &str = "run.json";

/// What of a step's record is no quantity of the loss.
const NO_TERMS: [&str; 4] = ["step", "epoch", "lr", "loss"];

/// Where a model comes from: a run of ours, or other weights.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// The weights: a run's, or the reference as it was given.
    pub weights: PathBuf,
    /// The `run.json` of the run that made them.
    run: Option<Value>,
}

impl Provenance {
    /// Of a run's folder, the weights in one, or any other reference to weights.
    ///
    /// # Errors
    /// [`Error::Data`] for a run's folder whose `run.json` is damaged or of no training, or
    /// that has no weights yet.
    pub fn of(reference: &Path) -> Result<Self> {
        if !reference.is_dir() {
            let made = reference.file_name().is_some_and(|name| name == STUDENT || name == MODEL);
            let run = reference.parent().filter(|_| made && reference.is_file());
            let run = run.and_then(|folder| read(&folder.join(RUN_FILE)).ok());
            return Ok(Self { weights: reference.to_owned(), run });
        }
        let file = reference.join(RUN_FILE);
        if !file.exists() {
            return Ok(Self { weights: reference.to_owned(), run: None });
        }
        let unusable = |reason: &str| {
            Error::data(&file, format!("{reason}; give a finished run's folder or its weights"))
        };
        let run = read(&file).map_err(|reason| unusable(&reason))?;
        let name = match run["command"].as_str() {
            Some("distill") => STUDENT,
            Some("pretrain") => MODEL,
            _ => return Err(unusable("it is not of singer distill or singer pretrain")),
        };
        let weights = reference.join(name);
        if !weights.is_file() {
            return Err(unusable(&format!("the run has no {name} yet")));
        }
        Ok(Self { weights, run: Some(run) })
    }

    /// What a model card says: of a run its method, settings and measurements, without
    /// the paths of the machine that it ran on.
    pub fn card(&self) -> Card {
        let Some(run) = &self.run else { return Card::default() };
        let config = &run["config"];
        let command = run["command"].as_str().unwrap_or_default();
        let distilled = command == "distill";
        let mut facts = Facts::default();
        facts.text("command", &format!("singer {command}"));
        facts.value("singer", &run["versions"]["singer"]);
        let origin = match distilled {
            true => facts.distillation(config, run["teacher"].as_str()),
            false => {
                facts.file("weights at the start", &config["model"]["weights"]);
                facts.value("label smoothing", &config["label_smoothing"]);
                "Trained with labels by `singer pretrain`.".into()
            }
        };
        let length = if config["train"]["steps"].is_null() { "epochs" } else { "steps" };
        for key in ["batch", length, "clip"] {
            facts.value(&format!("train.{key}"), &config["train"][key]);
        }
        facts.value("optimizer", &config["optimizer"]);
        facts.value("schedule", &config["schedule"]);
        facts.value("seed", &run["seed"]);
        facts.measurements(&run["result"]);
        let teacher = config["teacher"]["weights"].as_str().filter(|_| distilled);
        let base_models = teacher.and_then(on_the_hub).into_iter().collect();
        let hub = HubMetadata { base_models, ..HubMetadata::default() };
        Card { origin, facts: facts.0, hub }
    }
}

/// `OWNER/NAME` of a reference `hf-hub:OWNER/NAME[/FILE][@REVISION]`.
fn on_the_hub(reference: &str) -> Option<String> {
    let mut parts = reference.strip_prefix("hf-hub:")?.split(['/', '@']);
    Some(format!("{}/{}", parts.next()?, parts.next()?))
}

/// A way to distil, as `run.json` names it.
struct Method {
    name: &'static str,
    /// How the model was made; `TEACHER` stands for the teacher's name.
    origin: &'static str,
    /// The section of its own settings.
    section: &'static str,
    /// Whether it takes the layers of the section `singer` too.
    layers: bool,
}

const METHODS: [Method; 10] = [
    Method {
        name: "singer",
        origin: "Distilled from the refined features of TEACHER by [SiNGER](https://arxiv.org/abs/2509.20986).",
        section: "singer",
        layers: false,
    },
    Method {
        name: "fitnet",
        origin: "Distilled from the features of TEACHER by [FitNets](https://arxiv.org/abs/1412.6550).",
        section: "fitnet",
        layers: true,
    },
    Method {
        name: "cosine",
        origin: "Distilled from the features of TEACHER by their cosines.",
        section: "cosine",
        layers: true,
    },
    Method {
        name: "normalised",
        origin: "Distilled from the features of TEACHER after a LayerNorm of each token.",
        section: "normalised",
        layers: true,
    },
    Method {
        name: "relational",
        origin: "Distilled from the similarities of images and of patches in the features of TEACHER, as [LightlyTrain](https://github.com/lightly-ai/lightly-train) does it.",
        section: "relational",
        layers: false,
    },
    Method {
        name: "proteus",
        origin: "Distilled from the features of TEACHER by [Proteus](https://arxiv.org/abs/2407.10366).",
        section: "proteus",
        layers: false,
    },
    Method {
        name: "vitkd",
        origin: "Distilled from the features of TEACHER by [ViTKD](https://arxiv.org/abs/2209.02432), with generators and mask token trained beside the student.",
        section: "vitkd",
        layers: true,
    },
    Method {
        name: "vitkd-reference",
        origin: "Distilled from the features of TEACHER by [ViTKD](https://arxiv.org/abs/2209.02432) as its reference code does it, with generators and mask token at their random start.",
        section: "vitkd",
        layers: true,
    },
    Method {
        name: "kd",
        origin: "Distilled from the logits of TEACHER by [knowledge distillation](https://arxiv.org/abs/1503.02531).",
        section: "kd",
        layers: false,
    },
    Method {
        name: "none",
        origin: "Trained on labels alone by `singer distill`, without a teacher.",
        section: "",
        layers: false,
    },
];

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    /// Adds what a distillation was set to do, and says in a sentence what it was.
    /// `teacher` is the name that the teacher was recognised by.
    fn distillation(&mut self, config: &Value, teacher: Option<&str>) -> String {
        let teacher = teacher.or_else(|| config["teacher"]["arch"].as_str());
        let name = config["method"].as_str().unwrap_or("singer");
        let method = METHODS.iter().find(|method| method.name == name);
        self.text("method", name);
        if name != "none" {
            if let Some(arch) = teacher {
                self.text("teacher", arch);
            }
            self.file("teacher's weights", &config["teacher"]["weights"]);
            let precision = Some(&config["precision"]).filter(|precision| *precision != "f32");
            self.value("teacher's precision", precision.unwrap_or(&Value::Null));
        }
        self.file("weights at the start", &config["student"]["weights"]);
        self.file("adapters at the start", &config["adapters"]);
        // Runs from before there was a choice do not say it.
        let refine = config["refine"].as_str().filter(|_| name != "none");
        if let Some(kind) = refine {
            self.text("refinement of the teacher", kind);
        }
        let section = method.map_or(name, |method| method.section);
        if method.is_some_and(|method| method.layers) {
            for key in ["layers", "mapping"] {
                self.value(key, &config["singer"][key]);
            }
        }
        let none = Map::new();
        for (key, value) in config[section].as_object().unwrap_or(&none) {
            self.value(&format!("{section}.{key}"), value);
        }
        if config["label_weight"].as_f64().is_some_and(|weight| weight > 0.0) {
            self.value("label weight", &config["label_weight"]);
        }
        let teacher = match teacher {
            Some(arch) => format!("a `{arch}`"),
            None => "a teacher".into(),
        };
        let origin = method.map(|method| method.origin.replace("TEACHER", &teacher));
        match (origin, name, refine) {
            (Some(origin), "singer", Some("none")) => origin.replace("refined", "unrefined"),
            (Some(origin), "singer", _) | (Some(origin), _, None | Some("none")) => origin,
            (Some(origin), _, Some(kind)) => {
                format!("{origin} What the teacher gave was refined first ({kind}).")
            }
            (None, ..) => format!("Trained by `singer distill` with the method `{name}`."),
        }
    }

    /// Adds what a run measured.
    fn measurements(&mut self, result: &Value) {
        self.value("validation accuracy", &result["val_accuracy"]);
        let none = Map::new();
        for (term, last) in result["last"].as_object().unwrap_or(&none) {
            let Some(last) = last.as_f64().filter(|_| !NO_TERMS.contains(&term.as_str())) else {
                continue;
            };
            match result["first"][term].as_f64() {
                Some(first) => self.text(
                    &format!("{term}, first and last step"),
                    &format!("{first:.4}, {last:.4}"),
                ),
                None => self.text(&format!("{term}, last step"), &format!("{last:.4}")),
            }
        }
        for layer in result["norms"].as_array().into_iter().flatten() {
            let ratio = |kind: &str| layer[kind]["max_over_median"].as_f64();
            if let (Some(raw), Some(refined)) = (ratio("raw"), ratio("refined")) {
                self.text(
                    &format!("layer {}: largest over median patch norm", layer["layer"]),
                    &format!("teacher {raw:.2}, refined {refined:.2}"),
                );
            }
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.0.push(Fact { name: name.into(), value: value.into() });
    }

    /// The last part of a path, or a model of the hub whole.
    fn file(&mut self, name: &str, path: &Value) {
        let Some(path) = path.as_str() else { return };
        let file = Path::new(path).file_name().map(|file| file.to_string_lossy());
        match file.filter(|_| !path.starts_with("hf-hub:")) {
            Some(file) => self.text(name, &file),
            None => self.text(name, path),
        }
    }

    /// A JSON value that is there.
    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::String(text) => self.text(name, text),
            other => self.text(name, &plain(other).to_string()),
        }
    }
}

/// The same with numbers that were f32 as short as those print.
pub(crate) fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let wide =
                number.as_f64().filter(|wide| number.is_f64() && f64::from(*wide as f32) == *wide);
            let short = wide.and_then(|wide| (wide as f32).to_string().parse::<f64>().ok());
            short.map_or_else(|| value.clone(), Value::from)
        }
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("it is damaged ({error})"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The card of a run with this method and all sections of settings.
    fn card(method: &str) -> Card {
        let run = json!({
            "command": "distill",
            "config": {
                "method": method,
                "label_weight": 0.0,
                "precision": "f32",
                "teacher": { "arch": "vit_small_patch14_dinov2", "weights": "/home/me/secret/dino.pth" },
                "student": {},
                "singer": { "layers": [3], "rank": 8, "quantile": 0.97 },
                "fitnet": { "weight": 10.0 },
                "cosine": { "weight": 1.0 },
                "relational": { "temperature": 0.07 },
                "proteus": { "mask_ratio": 0.5 },
                "normalised": { "weight": 1.0 },
                "vitkd": { "mimic_layers": [0, 2], "mask_ratio": 0.5 },
                "kd": { "temperature": 4.0 },
                "train": { "batch": 8, "steps": 2 },
            },
            "result": {
                "first": { "step": 1, "lr": 0.1, "loss": 2.0, "term": 2.0 },
                "last": { "step": 2, "lr": 0.1, "loss": 1.0, "term": 1.0 },
            },
        });
        Provenance { weights: PathBuf::new(), run: Some(run) }.card()
    }

    fn check(method: &str, origin: &[&str], facts: &[&str], absent: &[&str]) {
        let card = card(method);
        for part in origin {
            assert!(card.origin.contains(part), "{method}: `{}` lacks {part}", card.origin);
        }
        let names: Vec<&str> = card.facts.iter().map(|fact| fact.name.as_str()).collect();
        for name in facts {
            assert!(names.contains(name), "{method}: {names:?} lacks {name}");
        }
        for part in absent {
            let stated = card.origin.contains(part) || names.iter().any(|n| n.contains(part));
            assert!(!stated, "{method}: the card says {part}: {card:?}");
        }
        assert!(!format!("{card:?}").contains("secret"), "a path is in the card: {card:?}");
    }

    #[test]
    fn the_card_of_a_singer_run_says_refined_features() {
        let facts = ["teacher", "singer.layers", "singer.rank", "term, first and last step"];
        let origin = ["refined features of a `vit_small_patch14_dinov2`", "[SiNGER]"];
        check("singer", &origin, &facts, &["fitnet", "kd.", "vitkd"]);
    }

    #[test]
    fn the_card_of_a_fitnet_run_does_not_say_singer() {
        let origin = ["the features of", "[FitNets]"];
        check(
            "fitnet",
            &origin,
            &["layers", "fitnet.weight"],
            &["SiNGER", "refined", "singer.rank"],
        );
    }

    #[test]
    fn the_cards_of_normalised_features_say_how_they_were_normalised() {
        let absent = ["SiNGER", "refined", "fitnet.weight"];
        check("cosine", &["their cosines"], &["layers", "cosine.weight"], &absent);
        check("normalised", &["a LayerNorm"], &["layers", "normalised.weight"], &absent);
    }

    #[test]
    fn the_cards_of_relations_and_of_proteus_say_what_was_learnt() {
        let absent = ["SiNGER", "refined", "layers"];
        check("relational", &["the similarities"], &["relational.temperature"], &absent);
        check("proteus", &["[Proteus]"], &["proteus.mask_ratio"], &absent);
    }

    #[test]
    fn a_card_says_whether_the_teacher_was_refined_whatever_the_method() {
        let origin = |method: &str, refine: &str| {
            let config = json!({ "method": method, "refine": refine });
            Facts::default().distillation(&config, Some("vit_small_patch14_dinov2"))
        };
        assert!(origin("kd", "closed").ends_with("refined first (closed)."));
        assert!(!origin("kd", "none").contains("refined"));
        assert!(origin("singer", "none").contains("the unrefined features"));
        assert!(origin("singer", "closed").contains("the refined features"));
        assert!(!origin("none", "closed").contains("refined"));
    }

    #[test]
    fn the_card_of_a_vitkd_run_says_that_generators_were_trained() {
        let origin = ["[ViTKD]", "trained beside the student"];
        check("vitkd", &origin, &["layers", "vitkd.mask_ratio"], &["SiNGER", "singer.quantile"]);
    }

    #[test]
    fn the_card_of_a_vitkd_reference_run_says_that_generators_stayed_random() {
        let origin = ["[ViTKD]", "random start"];
        check("vitkd-reference", &origin, &["layers", "vitkd.mask_ratio"], &["SiNGER"]);
    }

    #[test]
    fn the_card_of_a_kd_run_says_logits() {
        let absent = ["SiNGER", "features", "layers", "singer.rank"];
        check("kd", &["the logits of", "knowledge distillation"], &["kd.temperature"], &absent);
    }

    #[test]
    fn the_card_of_a_run_without_a_method_names_no_teacher() {
        let absent = ["SiNGER", "teacher's", "singer.", "features", "dinov2"];
        check("none", &["labels alone"], &["train.batch"], &absent);
    }

    #[test]
    fn the_card_of_a_pretrained_model_says_labels() {
        let run = json!({ "command": "pretrain", "config": { "label_smoothing": 0.1 } });
        let card = Provenance { weights: PathBuf::new(), run: Some(run) }.card();
        assert!(card.origin.contains("labels"), "{}", card.origin);
        assert!(!card.origin.contains("Distilled"), "{}", card.origin);
    }
}
