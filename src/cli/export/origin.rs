//! Where an exported model comes from: a run's folder or other weights.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::distill::STUDENT;
use crate::cli::pretrain::MODEL;
use crate::error::{Error, Result};
use crate::export::{Card, Fact};

pub(super) struct Origin {
    /// A file, or what `models::locate` understands.
    pub(super) weights: PathBuf,
    /// The `run.json` of the run that made it.
    run: Option<Value>,
}

impl Origin {
    /// `given` is a run's folder, weights in one, or other weights.
    pub(super) fn of(given: &Path) -> Result<Self> {
        if !given.is_dir() {
            let made = given.file_name().is_some_and(|name| name == STUDENT || name == MODEL);
            let run = given.parent().filter(|_| made && given.is_file());
            let run = run.and_then(|folder| read(&folder.join("run.json")).ok());
            return Ok(Self { weights: given.to_owned(), run });
        }
        let file = given.join("run.json");
        if !file.exists() {
            let model = given.join("model.safetensors");
            let weights = if model.is_file() { model } else { given.to_owned() };
            return Ok(Self { weights, run: None });
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
        let weights = given.join(name);
        if !weights.is_file() {
            return Err(unusable(&format!("the run has no {name} yet")));
        }
        Ok(Self { weights, run: Some(run) })
    }

    /// What a model card says: of a run its settings and measurements, without
    /// the paths of the machine that it ran on.
    pub(super) fn card(&self) -> Card {
        let Some(run) = &self.run else {
            return Card { origin: "Converted by `singer export`.".into(), facts: Vec::new() };
        };
        let config = &run["config"];
        let distilled = run["command"] == "distill";
        let mut facts = Facts::default();
        facts.text("command", &format!("singer {}", run["command"].as_str().unwrap_or_default()));
        facts.value("singer", &run["versions"]["singer"]);
        if distilled {
            facts.value("teacher", &config["teacher"]["arch"]);
            let weights = config["teacher"]["weights"].as_str().map(Path::new);
            if let Some(name) = weights.and_then(Path::file_name) {
                facts.text("teacher's weights", &name.to_string_lossy());
            }
            for key in ["layers", "rank", "quantile", "basis", "losses", "weights"] {
                facts.value(&format!("singer.{key}"), &config["singer"][key]);
            }
        } else {
            facts.value("label smoothing", &config["label_smoothing"]);
        }
        let length = if config["train"]["steps"].is_null() { "epochs" } else { "steps" };
        for key in ["batch", length, "clip"] {
            facts.value(&format!("train.{key}"), &config["train"][key]);
        }
        facts.value("optimizer", &config["optimizer"]);
        facts.value("schedule", &config["schedule"]);
        facts.value("seed", &run["seed"]);
        let result = &run["result"];
        facts.value("validation accuracy", &result["val_accuracy"]);
        for term in ["kd", "outlier", "info"] {
            let loss = |at: &str| result[at][term].as_f64();
            match (loss("first"), loss("last")) {
                (Some(first), Some(last)) => facts.text(
                    &format!("{term} loss, first and last step"),
                    &format!("{first:.4}, {last:.4}"),
                ),
                (None, Some(last)) => {
                    facts.text(&format!("{term} loss, last step"), &format!("{last:.4}"));
                }
                _ => {}
            }
        }
        for layer in result["norms"].as_array().into_iter().flatten() {
            let ratio = |kind: &str| layer[kind]["max_over_median"].as_f64();
            if let (Some(raw), Some(refined)) = (ratio("raw"), ratio("refined")) {
                facts.text(
                    &format!("layer {}: largest over median patch norm", layer["layer"]),
                    &format!("teacher {raw:.2}, refined {refined:.2}"),
                );
            }
        }
        let origin = match distilled {
            true => {
                "Distilled from the refined features of a larger model by [SiNGER](https://arxiv.org/abs/2509.20986)."
            }
            false => "Trained with labels by `singer pretrain`.",
        };
        Card { origin: origin.into(), facts: facts.0 }
    }
}

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn text(&mut self, name: &str, value: &str) {
        self.0.push(Fact { name: name.into(), value: value.into() });
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
fn plain(value: &Value) -> Value {
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
