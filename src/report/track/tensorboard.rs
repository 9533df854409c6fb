use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Ended, measurements, numbers, settings};
use crate::error::{Error, Result};
use crate::export::protobuf::Message;
use crate::figure::png;
use crate::report::training::{Example, Examples, NormHistogram, TrainingRun, high, picture};
use crate::run::folder::now;

/// A map in TensorBoard is this wide in pixels, or a little wider.
const MAP: usize = 128;
/// Pixels between maps.
const GAP: u32 = 8;

/// An event file of TensorBoard that follows a run: scalars of each logged step, the settings as
/// text and as hyperparameters, and at the end patch norms, their histograms and maps.
///
/// It is made anew from the run's own metrics and replaces those before it, so a resumed run
/// leaves no step twice.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
    /// Records that are in the file; none before its head.
    written: Option<usize>,
    /// Of the pace.
    paced: usize,
    ended: bool,
}

/// The end of our files' names.
const OURS: &str = ".singer";

impl EventFile {
    /// Starts a file in `folder`, which it makes.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let io = |error| Error::io(folder, error);
        std::fs::create_dir_all(folder).map_err(io)?;
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("events.out.tfevents.") && name.ends_with(OURS) {
                let path = folder.join(&*name);
                std::fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
            }
        }
        let path = folder.join(format!("events.out.tfevents.{}{OURS}", now()));
        let file = File::create(&path).map_err(|error| Error::io(&path, error))?;
        Ok(Self { path, file, written: None, paced: 0, ended: false })
    }

    /// Adds what has come since.
    pub(super) fn follow(&mut self, run: &TrainingRun) -> Result<()> {
        let mut new = Vec::new();
        if self.written.is_none() {
            new.extend(head(run));
        }
        for record in run.records.iter().skip(self.written.unwrap_or(0)) {
            let values = numbers(record);
            let values = values.iter().map(|(name, value)| scalar(name, *value));
            new.push(event(run.time(record.step), record.step, values));
        }
        for pace in run.pace.iter().skip(self.paced) {
            let values = [
                scalar("images per second", pace.images_per_second),
                scalar("waiting for data", pace.waiting),
            ];
            new.push(event(pace.time, pace.step, values));
        }
        self.append(&new)?;
        self.written = Some(run.records.len());
        self.paced = run.pace.len();
        Ok(())
    }

    /// Adds what was measured.
    pub(super) fn end(&mut self, run: &TrainingRun, ended: Ended) -> Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let step = run.records.last().map_or(0, |record| record.step);
        let values = measurements(&run.description["result"]);
        let mut values: Vec<Message> =
            values.iter().map(|(name, value)| scalar(name, *value)).collect();
        if let Some(examples) = &run.examples {
            values.extend(examples.histograms.iter().map(histogram));
            for (index, image) in examples.images.iter().enumerate() {
                values.extend(maps(examples, index, image)?);
            }
        }
        values.push(session_end(now() as f64, ended));
        self.append(&[event(run.time(step), step, values)])
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
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

/// What a file begins with. The session's start makes a reader of the file before forget its
/// steps.
fn head(run: &TrainingRun) -> [Message; 3] {
    const START: i64 = 1;
    let started = run.description["started"].as_f64().unwrap_or(0.0);
    let text_of = serde_json::to_string_pretty(&run.description["config"]).unwrap_or_default();
    // Four spaces make it code in Markdown.
    let text_of: String = text_of.lines().map(|line| format!("    {line}\n")).collect();
    let version = Message::default().double(1, started).bytes(3, "brain.Event:2");
    let session = Message::default().integer(1, START);
    let session = Message::default().double(1, started).message(7, session);
    let values = [text("settings", &text_of), session_start(started, run)];
    [version, session, event(started, 0, values)]
}

fn event(time: f64, step: usize, values: impl IntoIterator<Item = Message>) -> Message {
    let summary = Message::default().messages(1, values);
    Message::default().double(1, time).integer(2, step as i64).message(5, summary)
}

fn scalar(tag: &str, value: f64) -> Message {
    Message::default().bytes(1, tag).float(2, value as f32)
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

/// Tag and content of the plugin for hyperparameters, which reads nothing but the metadata.
fn hyperparameters(tag: &str, field: u32, content: Message) -> Message {
    const FLOAT: i64 = 1;
    // A tensor without elements.
    let shape = Message::default().message(2, Message::default().integer(1, 0));
    let tensor = Message::default().integer(1, FLOAT).message(2, shape);
    let data = Message::default().message(field, content).into_bytes();
    let plugin = Message::default().bytes(1, "hparams").bytes(2, data);
    let metadata = Message::default().message(1, plugin);
    let tag = format!("_hparams_/{tag}");
    Message::default().bytes(1, tag).message(8, tensor).message(9, metadata)
}

fn session_start(started: f64, run: &TrainingRun) -> Message {
    let entry = |(key, value): &(String, Value)| {
        let value = match value {
            Value::Number(number) => Message::default().double(2, number.as_f64().unwrap_or(0.0)),
            Value::Bool(value) => Message::default().integer(4, (*value).into()),
            Value::String(text) => Message::default().bytes(3, text),
            other => Message::default().bytes(3, other.to_string()),
        };
        Message::default().bytes(1, key).message(2, value)
    };
    let settings = settings(run);
    let start = Message::default().messages(1, settings.iter().map(entry));
    hyperparameters("session_start_info", 3, start.bytes(4, &run.name).double(5, started))
}

fn session_end(time: f64, ended: Ended) -> Message {
    let status = match ended {
        Ended::Finished => 1,
        Ended::Failed => 2,
        Ended::Stopped => 3,
    };
    let end = Message::default().integer(1, status).double(2, time);
    hyperparameters("session_end_info", 4, end)
}

fn histogram(of: &NormHistogram) -> Message {
    let bins = of.counts.len().max(1);
    let edge = |bin: usize| f64::from(of.high) * (bin + 1) as f64 / bins as f64;
    let packed =
        |values: Vec<f64>| values.into_iter().flat_map(f64::to_le_bytes).collect::<Vec<_>>();
    let counts: Vec<f64> = of.counts.iter().map(|&count| count as f64).collect();
    let histogram = Message::default()
        .double(1, 0.0)
        .double(2, of.high.into())
        .double(3, counts.iter().sum())
        .double(4, of.sums[0])
        .double(5, of.sums[1])
        .bytes(6, packed((0..bins).map(edge).collect()))
        .bytes(7, packed(counts));
    let tag = format!("patch norms/{} block {}", of.subject.name(), of.block);
    Message::default().bytes(1, tag).message(5, histogram)
}

/// For each layer the maps of an image beside each other: teacher, refined teacher, student.
fn maps(examples: &Examples, index: usize, image: &Example) -> Result<Vec<Message>> {
    const RGBA: i64 = 4;
    let pixels = MAP.div_ceil(examples.grid[1].max(1));
    let mut layers: Vec<usize> = image.maps.iter().map(|map| map.layer).collect();
    layers.dedup();
    let strip = |layer: usize| {
        let maps = image.maps.iter().filter(|map| map.layer == layer);
        let maps = maps.map(|map| picture(map, examples.grid, pixels, high(image, map)));
        let maps: Vec<_> = maps.collect::<Result<_>>()?;
        let [height, width] = examples.grid.map(|side| (side * pixels) as u32);
        let mut strip = image::RgbaImage::new((width + GAP) * maps.len() as u32 - GAP, height);
        for (place, map) in maps.iter().enumerate() {
            let left = i64::from(width + GAP) * place as i64;
            image::imageops::replace(&mut strip, map, left, 0);
        }
        let encoded = Message::default()
            .integer(1, strip.height().into())
            .integer(2, strip.width().into())
            .integer(3, RGBA)
            .bytes(4, png(strip)?);
        let names: Vec<&str> = image
            .maps
            .iter()
            .filter(|map| map.layer == layer)
            .map(|map| map.subject.name())
            .collect();
        let tag = format!("maps/image {} block {layer}, {}", index + 1, names.join(" | "));
        Ok(Message::default().bytes(1, tag).message(4, encoded))
    };
    layers.into_iter().map(strip).collect()
}
