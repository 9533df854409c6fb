use serde_json::Value;

use super::{Moved, TrainingRun};

/// A sentence on how a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it calls for attention.
    pub warning: bool,
    /// The sentence.
    pub text: String,
}

/// Losses are compared by their means over this share of the steps.
const WINDOW: f64 = 0.1;
/// A mean that is lower by this share has fallen.
const FALLS: f64 = 0.01;
/// A mean that is higher than the lowest one by this share has risen.
const RISES: f64 = 0.05;
/// Of patches above three times the median norm: fewer are no artifacts worth a word.
const FEW: f64 = 0.002;
/// Training that waits for data for more than this share of its time is worth a word.
const WAITS: f64 = 0.1;
/// Refined tokens that are this far from the raw ones, over their norm, are others.
const FAR: f32 = 0.5;
/// A largest norm of this many medians is an artifact's.
const ARTIFACT: f64 = 3.0;

/// What can be said of a run, in order of weight.
pub fn verdicts(run: &TrainingRun) -> Vec<Verdict> {
    let mut all = Vec::new();
    let mut say = |warning: bool, text: String| all.push(Verdict { warning, text });
    state(run, &mut say);
    loss(run, &mut say);
    waiting(run, &mut say);
    artifacts(run, &mut say);
    moved(run, &mut say);
    let result = &run.description["result"];
    if let Some(accuracy) = result["val_accuracy"].as_f64() {
        say(false, format!("Validation accuracy {:.2} %.", accuracy * 100.0));
    }
    all
}

fn state(run: &TrainingRun, say: &mut impl FnMut(bool, String)) {
    let step = run.records.last().map_or(0, |record| record.step);
    let seconds = run.description["seconds"].as_f64();
    let settings = &run.description["config"]["train"];
    match (run.finished(), seconds) {
        (true, Some(seconds)) if step == 0 => {
            say(false, format!("Finished in {}.", duration(seconds)));
        }
        (true, Some(seconds)) => {
            let images = settings["batch"].as_f64().unwrap_or(0.0) * step as f64;
            say(
                false,
                format!(
                    "Finished: {step} steps in {}, {:.1} images/s from start to end.",
                    duration(seconds),
                    images / seconds.max(1e-9)
                ),
            );
        }
        (true, None) => say(false, format!("Finished: {step} steps.")),
        (false, _) => say(
            true,
            match settings["steps"].as_u64() {
                Some(steps) => format!("Not finished: at step {step} of {steps}."),
                None => format!("Not finished: at step {step}."),
            },
        ),
    }
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.0} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

fn loss(run: &TrainingRun, say: &mut impl FnMut(bool, String)) {
    let curve: Vec<f64> = run.curve("loss").into_iter().map(|[_, loss]| loss).collect();
    // Nothing was trained, as for a closed form.
    if curve.is_empty() && run.finished() {
        return;
    }
    if curve.iter().any(|loss| !loss.is_finite()) {
        return say(
            true,
            "The loss was not finite: lower the learning rate or clip gradients.".into(),
        );
    }
    let window = ((curve.len() as f64 * WINDOW) as usize).max(3);
    if curve.len() < 4 * window {
        return say(false, format!("{} logged steps are too few to judge the loss.", curve.len()));
    }
    let means: Vec<f64> =
        curve.rchunks(window).map(|part| part.iter().sum::<f64>() / part.len() as f64).collect();
    let [last, before] = [means[0], means[1]];
    let lowest = means.iter().copied().fold(f64::INFINITY, f64::min);
    let fell = format!("The loss went from {:.4} to {:.4}", curve[0], curve[curve.len() - 1]);
    if last > lowest * (1.0 + RISES) {
        say(
            true,
            format!("{fell} and rose in the end: a lower learning rate or clipping may help."),
        );
    } else if last < before * (1.0 - FALLS) {
        say(false, format!("{fell} and is still falling: a longer run would go on learning."));
    } else {
        say(false, format!("{fell} and is flat in the end."));
    }
}

/// Whether training waited for its images. The first steps wait for the first ones.
fn waiting(run: &TrainingRun, say: &mut impl FnMut(bool, String)) {
    let later = run.pace.get(1..).unwrap_or_default();
    if later.is_empty() {
        return;
    }
    let share = later.iter().map(|pace| pace.waiting).sum::<f64>() / later.len() as f64;
    if share > WAITS {
        let share = share * 100.0;
        say(
            true,
            format!(
                "Training waited for images {share:.0} % of the time: more workers or smaller files would make it faster."
            ),
        );
    }
}

/// How far refined features are from the raw ones.
fn moved(run: &TrainingRun, say: &mut impl FnMut(bool, String)) {
    let moved = run.examples.iter().flat_map(|examples| &examples.moved);
    for Moved { layer, change } in moved {
        let far = *change > FAR;
        let text = format!(
            "Block {layer}: refinement moves a patch token by {:.1} % of its norm on average",
            change * 100.0
        );
        match far {
            true => {
                say(true, format!("{text}: the student learns other features than the teacher's."));
            }
            false => say(false, format!("{text}.")),
        }
    }
}

fn artifacts(run: &TrainingRun, say: &mut impl FnMut(bool, String)) {
    let description = &run.description;
    let result = &description["result"];
    let refine = description["config"]["refine"].as_str();
    if refine == Some("closed") && description["closed_form"].as_array().is_some_and(Vec::is_empty)
    {
        say(false, "No artifacts were found: the teacher's features stay as they are.".into());
    }
    for layer in result["norms"].as_array().into_iter().flatten() {
        let number = |kind: &str, key: &str| layer[kind][key].as_f64();
        let (Some(raw), Some(refined), Some(left)) = (
            number("raw", "max_over_median"),
            number("refined", "max_over_median"),
            number("refined", "outlier_share"),
        ) else {
            continue;
        };
        let block = &layer["layer"];
        if raw < ARTIFACT {
            continue;
        }
        let text = format!(
            "Block {block}: the teacher's largest patch norm is {raw:.1} times the median, refined {refined:.1}"
        );
        match left > FEW {
            true => say(
                true,
                format!(
                    "{text}; {:.1} % of patches are still above three times the median.",
                    left * 100.0
                ),
            ),
            false => say(false, format!("{text}.")),
        }
    }
    let student: &Value = &result["student_norms"];
    if let Some(ratio) = student["max_over_median"].as_f64() {
        let text = format!("The student's largest patch norm is {ratio:.1} times its median");
        match ratio >= ARTIFACT {
            true => say(true, format!("{text}: it has artifacts of its own or its teacher's.")),
            false => say(false, format!("{text}: it has no artifacts.")),
        }
    }
}
