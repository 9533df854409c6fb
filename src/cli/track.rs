//! `--track`: trackers that follow a training.

use std::path::Path;

use crate::error::{Error, Result};
use crate::report::track::{Ended, TrackerKind, Tracking};
use crate::run::Event;

/// The trackers of a training; none unless asked for.
pub(super) struct Track(Option<Tracking>);

impl Track {
    /// For a training that is not tracked.
    pub(super) fn nothing() -> Self {
        Self(None)
    }

    /// Of a run that is written to `out`.
    pub(super) fn start(kinds: &[TrackerKind], out: Option<&Path>) -> Result<Self> {
        let Some(out) = out.filter(|_| !kinds.is_empty()) else { return Ok(Self(None)) };
        let warn = |error: &Error| {
            note!(
                "singer: warning: {error}; training goes on, and `singer report RUN --track` sends what is missing"
            );
        };
        Tracking::start(kinds, out, warn).map(|tracking| Self(Some(tracking)))
    }

    pub(super) fn hear(&self, event: &Event<'_>) {
        if let (Some(tracking), Event::Step(_)) = (&self.0, event) {
            tracking.step();
        }
    }

    /// Waits until the trackers have the end of the run.
    pub(super) fn finish<T>(self, outcome: &Result<T>) {
        let Some(tracking) = self.0 else { return };
        let ended = match outcome {
            Ok(_) => Ended::Finished,
            Err(Error::Interrupted { .. }) => Ended::Stopped,
            Err(_) => Ended::Failed,
        };
        for place in tracking.finish(ended) {
            say!("tracked in {place}");
        }
    }
}
