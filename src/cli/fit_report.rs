//! What `singer fit` tells of a fit: the page beside its file, JSON, and trackers.

use std::time::Instant;

use serde_json::{Value, json};

use super::fit::FitArgs;
use crate::data::ImageSet;
use crate::device::Device;
use crate::distill::singer::LayerNorms;
use crate::error::Result;
use crate::export::plain;
use crate::model::Model;
use crate::refine::{Adapters, ClosedForm, Refiner};
use crate::report::track::{Ended, Tracker};
use crate::report::training::{Compared, Examples, TrainingRun, page};
use crate::run::folder::now;
use crate::train::Record;
use crate::weights::write_atomically;

/// Images of the page.
const EXAMPLES: usize = 8;

/// What a fit came to.
pub(super) struct Fitted {
    pub(super) adapters: Adapters,
    /// Of the blocks, where the form is closed.
    pub(super) found: Option<ClosedForm>,
    /// The steps, where adapters were trained.
    pub(super) records: Vec<Record>,
    pub(super) norms: Vec<LayerNorms>,
}

impl Fitted {
    /// Patch norms of raw and refined features on a few of the images; those of the refined
    /// blocks are the fit's, where it has none of its own.
    pub(super) fn examples(&mut self, teacher: &Model, images: &ImageSet) -> Result<Examples> {
        let adapters = &self.adapters;
        let closed = adapters.is_closed();
        let mut layers = adapters.layers();
        layers.push(teacher.config().depth - 1);
        layers.dedup();
        let compared = Compared {
            teacher,
            refiner: closed.then(|| Refiner::ClosedForm(adapters.clone())),
            adapters: (!closed).then_some(adapters),
            student: None,
            layers: layers.into_iter().map(|layer| (layer, None)).collect(),
        };
        let examples = Examples::measure(&compared, &images.sample(EXAMPLES))?;
        if self.norms.is_empty() {
            self.norms = examples.norms(&self.adapters.layers());
        }
        Ok(examples)
    }

    pub(super) fn described(&self, args: &FitArgs) -> Value {
        plain(&json!({
            "out": args.out,
            "layers": self.adapters.layers(),
            "images": self.found.as_ref().map(|found| found.images),
            "found": self.found.as_ref().map(|found| &found.blocks),
            "last": self.records.last(),
            "norms": self.norms,
        }))
    }

    /// As pages and trackers take a training. `config` is how the adapters were made.
    pub(super) fn into_run(
        self,
        args: &FitArgs,
        mut config: Value,
        device: &Device,
        since: Instant,
        examples: Option<Examples>,
    ) -> TrainingRun {
        config["teacher"] = json!({ "weights": args.teacher });
        config["data"] = json!({ "path": args.data });
        let name = args.out.file_stem().unwrap_or_default().to_string_lossy().into();
        let description = json!({
            "command": "fit",
            "device": device.name(),
            "precision": "f32",
            "started": now().saturating_sub(since.elapsed().as_secs()),
            "finished": now(),
            "seconds": since.elapsed().as_secs_f64(),
            "closed_form": self.found.map(|found| found.blocks),
            "config": config,
            "result": { "norms": self.norms },
        });
        let (records, pace, photographs) = (self.records, Vec::new(), Vec::new());
        TrainingRun { name, description, records, pace, examples, photographs }
    }
}

/// Writes the page beside the adapters, and what trackers want into a folder beside them.
pub(super) fn conclude(args: &FitArgs, run: &TrainingRun) -> Result<()> {
    let page = page(std::slice::from_ref(run), None)?;
    let out = args.out.with_extension("html");
    write_atomically(&out, page.as_bytes())?;
    let mut written = vec![format!("wrote {}", out.display())];
    for &kind in &args.track {
        let tracked = Tracker::open(kind, &args.out.with_extension("events"));
        let tracked = tracked.and_then(|mut tracker| {
            tracker.end(run, Ended::Finished, Some(&page)).map(|()| tracker.place())
        });
        match tracked {
            Ok(place) => written.push(format!("tracked in {place}")),
            Err(error) => note!("singer: warning: {error}; the adapters are written"),
        }
    }
    if !args.json {
        written.iter().for_each(|line| say!("{line}"));
    }
    Ok(())
}
