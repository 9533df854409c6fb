//! Whole runs: the closed form, adapters fitted, a student distilled.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde_json::{Value, json};
use singer::data::PassedOver;
use singer::distill::singer::AdapterFit;
use singer::refine::ClosedSettings;
use singer::run::{DistillConfig, Event, Start, batches};
use singer::train::Shards;
use singer::{Device, Distill, FitSettings};

use crate::adapters::Adapters;
use crate::error::setting;
use crate::images::{Images, Pictures};
use crate::job;
use crate::model::Model;

/// Settings from JSON.
fn settings<T: serde::de::DeserializeOwned>(py: Python<'_>, text: &str) -> PyResult<T> {
    serde_json::from_str(text).map_err(|error| {
        let error = error.to_string();
        // Where in our own JSON it is says nothing.
        let reason = error.split_once(" at line ").map_or(error.as_str(), |(reason, _)| reason);
        setting(py, format!("settings: {reason}"))
    })
}

/// A teacher's refinement in closed form, and what was found in each block as JSON.
#[pyfunction]
pub(crate) fn closed_form(
    py: Python<'_>,
    teacher: &Bound<'_, Model>,
    images: Images,
    wanted: &str,
    report: &Bound<'_, PyAny>,
) -> PyResult<(Adapters, String)> {
    let wanted: ClosedSettings = settings(py, wanted)?;
    let teacher = teacher.get().inner.clone();
    let images = images.open(py, wanted.images)?;
    let found = job::run(py, report, move |events| {
        let mut block = |done: usize, blocks: usize| {
            let event = json!({ "event": "closed_form", "done": done, "blocks": blocks });
            events.event_or_end(&event);
        };
        singer::closed_form(&teacher, &images, &wanted, &mut block)
    })?;
    let blocks = json!({ "images": found.images, "blocks": found.blocks }).to_string();
    Ok((Adapters { inner: found.adapters }, blocks))
}

/// Adapters of a teacher, trained without a student.
#[pyfunction]
pub(crate) fn fit(
    py: Python<'_>,
    teacher: &Bound<'_, Model>,
    images: Images,
    wanted: &str,
    robust: bool,
    report: &Bound<'_, PyAny>,
) -> PyResult<Adapters> {
    let mut wanted: FitSettings = settings(py, wanted)?;
    if robust {
        wanted.singer = wanted.singer.robust();
    }
    let teacher = teacher.get();
    let (device, teacher) = (teacher.device.clone(), teacher.inner.clone());
    let side = teacher.config().img_size.into_iter().max().unwrap_or_default();
    let images = images.open(py, wanted.images)?.with_scene_side(side);
    let inner = job::run(py, report, move |events| {
        let share = singer::run::DataConfig::default().max_unreadable;
        let (batches, passed_over) = batches(&teacher, &images, wanted.images, share)?;
        let shards = Shards::new(device.shards())?;
        let mut fit = AdapterFit::new(teacher.vit(), batches, wanted, shards)?;
        fit.run(&mut |step| {
            let mut event = json!(step);
            event["event"] = "step".into();
            events.event_or_end(&event);
        })?;
        passed_over.iter().for_each(|these| events.event(&passed(these)));
        Ok(fit.adapters())
    })?;
    Ok(Adapters { inner })
}

/// Distils a student; gives the run's folder.
#[pyfunction]
#[pyo3(signature = (config, teacher, images, adapters, resume, report))]
pub(crate) fn distill(
    py: Python<'_>,
    config: &str,
    teacher: Option<&Bound<'_, Model>>,
    images: Option<&Bound<'_, Pictures>>,
    adapters: Option<&Bound<'_, Adapters>>,
    resume: bool,
    report: &Bound<'_, PyAny>,
) -> PyResult<PathBuf> {
    let config: DistillConfig = settings(py, config)?;
    let mut run = match teacher {
        None => Distill::from_config(config),
        Some(teacher) => Distill::by(config.method, &teacher.get().inner, config.student.clone())
            .configure(|of_model| *of_model = config),
    };
    if let Some(pictures) = images {
        let images = Images::InMemory(pictures.clone().unbind()).in_memory();
        run = run.images(images.expect("they are in memory"));
    }
    if let Some(adapters) = adapters {
        run = run.adapters(adapters.get().inner.on(Device::cpu().burn()));
    }
    job::run(py, report, move |events| {
        let run = run.resume(resume).stop(events.stop());
        let run = run.run(|event| {
            if let Some(event) = described(&event) {
                events.event(&event);
            }
        })?;
        Ok(run.folder().to_owned())
    })
}

/// An event as JSON.
fn described(event: &Event<'_>) -> Option<Value> {
    Some(match event {
        Event::Start(start) => started(start),
        Event::ClosedForm { done, blocks } => {
            json!({ "event": "closed_form", "done": done, "blocks": blocks })
        }
        Event::Step(progress) => {
            let mut event = json!(progress.record);
            event["event"] = "step".into();
            event["steps"] = progress.steps.into();
            event["images_per_second"] = progress.images_per_second.into();
            event["waiting"] = progress.waiting.into();
            event["eta"] = progress.eta.as_secs_f64().into();
            event
        }
        Event::PassedOver(these) => passed(these),
        _ => return None,
    })
}

fn started(start: &Start) -> Value {
    json!({
        "event": "start",
        "method": start.method,
        "teacher": start.teacher,
        "student": start.model,
        "parameters": start.parameters,
        "device": start.device,
        "images": start.images,
        "steps": start.steps,
        "refine": start.refine,
        "student_layers": start.student_layers,
        "found": start.closed.as_ref().map(|found| &found.blocks),
        "assumed": start.assumed.iter().map(|(_, line)| line).collect::<Vec<_>>(),
    })
}

fn passed(these: &PassedOver) -> Value {
    json!({ "event": "passed_over", "message": these.to_string() })
}
