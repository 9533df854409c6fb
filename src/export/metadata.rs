use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// What the hub reads at the head of a model card, beyond what the format says. Nothing is
/// guessed: what is not given is left out.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HubMetadata {
    /// The licence as the hub names it, as `apache-2.0`.
    pub license: Option<String>,
    /// The models that this one was made from, `OWNER/NAME`.
    pub base_models: Vec<String>,
    /// The data sets that it was trained on, as the hub names them.
    pub datasets: Vec<String>,
    /// What was measured with it.
    pub measurements: Vec<Measurement>,
}

/// A measurement of a model on a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The task as the hub names it.
    pub task: &'static str,
    /// The data set.
    pub dataset: String,
    /// The metric as the hub names it.
    pub metric: &'static str,
    /// What was measured, in words.
    pub name: &'static str,
    /// The value: shares are 0 to 1.
    pub value: f64,
}

/// A kind of measurement that a probe leaves.
struct Kind {
    command: &'static str,
    task: &'static str,
    metric: &'static str,
    name: &'static str,
    /// Where a `probe.json` has it, below `result`.
    place: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        command: "probe classify",
        task: "image-classification",
        metric: "accuracy",
        name: "top-1 of a linear head",
        place: "/test/top1",
    },
    Kind {
        command: "probe classify",
        task: "image-classification",
        metric: "accuracy",
        name: "top-1 of 20 nearest neighbours",
        place: "/test/knn_top1",
    },
    Kind {
        command: "probe segment",
        task: "image-segmentation",
        metric: "mean_iou",
        name: "mIoU of a linear head",
        place: "/miou",
    },
    Kind {
        command: "probe depth",
        task: "depth-estimation",
        metric: "rmse",
        name: "RMSE of a linear head",
        place: "/pixels/rmse",
    },
];

impl Measurement {
    /// What a probe measured: `path` is the `probe.json` of `singer probe --out`, or its folder.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] for a file that holds no score of a probe.
    pub fn of_probe(path: &Path) -> Result<Vec<Self>> {
        let file = if path.is_dir() { path.join("probe.json") } else { path.to_owned() };
        let text = std::fs::read_to_string(&file).map_err(|error| Error::io(&file, error))?;
        let report: Value = serde_json::from_str(&text)
            .map_err(|error| Error::data(&file, format!("it is damaged ({error})")))?;
        let places = [&report["result"]["test"]["set"], &report["config"]["test"]];
        let dataset = places.iter().find_map(|place| place.as_str()).map(Path::new);
        let dataset = dataset.and_then(Path::file_name).map(|name| name.to_string_lossy());
        let found = KINDS.iter().filter(|kind| report["command"] == kind.command);
        let found: Vec<Self> = found
            .filter_map(|&Kind { task, metric, name, place, .. }| {
                let value = report["result"].pointer(place)?.as_f64()?;
                let dataset = dataset.clone()?.into_owned();
                Some(Self { task, dataset, metric, name, value })
            })
            .collect();
        match found.is_empty() {
            true => Err(Error::data(&file, "it holds no score of a probe on a test set")),
            false => Ok(found),
        }
    }
}

impl HubMetadata {
    /// Its lines of YAML, of the model `name`.
    pub(super) fn yaml(&self, name: &str) -> String {
        let mut yaml = String::new();
        if let Some(license) = &self.license {
            let _ = writeln!(yaml, "license: {}", quoted(license));
        }
        for (key, values) in [("base_model", &self.base_models), ("datasets", &self.datasets)] {
            if !values.is_empty() {
                let _ = writeln!(yaml, "{key}:");
                values.iter().for_each(|value| {
                    let _ = writeln!(yaml, "- {}", quoted(value));
                });
            }
        }
        if !self.measurements.is_empty() {
            let _ = writeln!(yaml, "model-index:\n- name: {}\n  results:", quoted(name));
        }
        for Measurement { task, dataset, metric, name, value } in &self.measurements {
            let dataset = quoted(dataset);
            let _ = writeln!(
                yaml,
                "  - task:\n      type: {task}\n    dataset:\n      name: {dataset}\n      type: {dataset}
    metrics:\n    - type: {metric}\n      name: {name}\n      value: {value:.4}"
            );
        }
        yaml
    }
}

/// A string of YAML; JSON's are.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
