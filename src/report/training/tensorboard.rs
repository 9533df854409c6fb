use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::TrainingRun;
use crate::error::{Error, Result};
use crate::export::protobuf::Message;
use crate::train::Record;

/// An event file of TensorBoard that follows a run: scalars of each logged step, patch norms at the
/// end, and the settings as text.
///
/// The file is made anew from the run's own metrics, so a resumed run leaves no step twice.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    /// Records that are in the file.
    written: usize,
    /// Whether the measurements at the end are.
    ended: bool,
}

impl EventFile {
    /// Starts the file of `run` in `folder`, which it makes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(folder: &Path, run: &TrainingRun) -> Result<Self> {
        let started = run.description["started"].as_f64().unwrap_or(0.0);
        let path = folder.join(format!("events.out.tfevents.{started:.0}.singer"));
        let file = std::fs::create_dir_all(folder).and_then(|()| File::create(&path));
        let file = file.map_err(|error| Error::io(&path, error))?;
        let mut events = Self { path, file, written: 0, ended: false };
        let version = Message::default().double(1, started).bytes(3, "brain.Event:2");
        let settings = serde_json::to_string_pretty(&run.description["config"]).unwrap_or_default();
        // Four spaces make it code in Markdown.
        let settings: String = settings.lines().map(|line| format!("    {line}\n")).collect();
        let settings = event(started, 0, [text("settings", &settings)]);
        events.append(&[version, settings])?;
        Ok(events)
    }

    /// Adds what has come since.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn follow(&mut self, run: &TrainingRun) -> Result<()> {
        let mut new = Vec::new();
        for record in run.records.iter().skip(self.written) {
            let Record { step, lr, loss, terms, .. } = record;
            let terms = terms.iter().map(|(name, value)| scalar(&format!("terms/{name}"), *value));
            let all = [scalar("loss", *loss), scalar("learning rate", *lr as f32)];
            new.push(event(time(run, *step), *step, all.into_iter().chain(terms)));
        }
        self.written = run.records.len();
        if run.finished() && !self.ended {
            let step = run.records.last().map_or(0, |record| record.step);
            new.push(event(time(run, step), step, measurements(&run.description["result"])));
            self.ended = true;
        }
        self.append(&new)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// TensorFlow's records: length, its checksum, the event, its checksum.
    fn append(&mut self, events: &[Message]) -> Result<()> {
        let mut bytes = Vec::new();
        for event in events {
            let event = event.clone().into_bytes();
            let length = (event.len() as u64).to_le_bytes();
            for part in [&length[..], &event] {
                bytes.extend(part);
                bytes.extend(masked(crc32c::crc32c(part)).to_le_bytes());
            }
        }
        self.file.write_all(&bytes).map_err(|error| Error::io(&self.path, error))
    }
}

/// A checksum as TensorFlow stores it.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970 of a step. A run does not write it, so steps are spread evenly over it.
fn time(run: &TrainingRun, step: usize) -> f64 {
    let of = |key: &str| run.description[key].as_f64();
    let started = of("started").unwrap_or(0.0);
    let last = run.records.last().map_or(1, |record| record.step.max(1));
    started + of("seconds").unwrap_or(0.0) * step as f64 / last as f64
}

fn event(time: f64, step: usize, values: impl IntoIterator<Item = Message>) -> Message {
    let summary = Message::default().messages(1, values);
    Message::default().double(1, time).integer(2, step as i64).message(5, summary)
}

fn scalar(tag: &str, value: f32) -> Message {
    Message::default().bytes(1, tag).float(2, value)
}

fn text(tag: &str, text: &str) -> Message {
    const STRING: i64 = 7;
    const TENSOR: i64 = 2;
    let tensor =
        Message::default().integer(1, STRING).message(2, Message::default()).bytes(8, text);
    let plugin = Message::default().bytes(1, "text");
    let metadata = Message::default().message(1, plugin).integer(4, TENSOR);
    Message::default().bytes(1, tag).message(8, tensor).message(9, metadata)
}

/// What a finished run measured.
fn measurements(result: &Value) -> Vec<Message> {
    let mut values = Vec::new();
    let mut add = |name: String, value: &Value| {
        if let Some(value) = value.as_f64() {
            values.push(scalar(&name, value as f32));
        }
    };
    for layer in result["norms"].as_array().into_iter().flatten() {
        for (kind, name) in [("raw", "teacher"), ("refined", "refined teacher")] {
            let name = format!("largest over median patch norm/{name}, block {}", layer["layer"]);
            add(name, &layer[kind]["max_over_median"]);
        }
    }
    let student = &result["student_norms"]["max_over_median"];
    add("largest over median patch norm/student".into(), student);
    add("validation accuracy".into(), &result["val_accuracy"]);
    values
}
