//! Progress on a terminal, and plain lines off one.

use std::time::Duration;

use indicatif::ProgressBar;

use super::output::{ProgressTo, progress};
use super::progress::bar;
use crate::train::{Progress, Record};

pub(super) struct Console {
    bar: Option<ProgressBar>,
    lines: bool,
}

impl Console {
    pub(super) fn new() -> Self {
        Self { bar: bar(), lines: progress() == ProgressTo::Lines }
    }

    /// The closed form is being estimated.
    pub(super) fn looking(&self, done: usize, blocks: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(blocks as u64);
            bar.set_position(done as u64);
            bar.set_message("looking for artifacts, block by block");
        }
    }

    pub(super) fn report(&self, progress: &Progress<'_>) {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.steps as u64);
            bar.set_position(progress.record.step as u64);
            bar.set_message(describe(progress));
        } else if self.lines {
            say!("step {}/{} {}", progress.record.step, progress.steps, describe(progress));
        }
    }
}

/// Clears the bar, so that what follows starts on its own line.
impl Drop for Console {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

fn describe(progress: &Progress<'_>) -> String {
    let Record { epoch, lr, loss, terms, .. } = progress.record;
    let terms: Vec<String> =
        terms.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    let skipped = match progress.skipped {
        0 => String::new(),
        count => format!(" | {count} steps skipped (gradients beyond half precision)"),
    };
    let unreadable = match &progress.passed_over {
        None => String::new(),
        Some(found) => format!(" | {} unreadable images skipped", found.count),
    };
    format!(
        "epoch {epoch:.2} | loss {loss:.4} ({}) | lr {lr:.2e} | {:.1} images/s | waiting for data {:.0} % | ETA {}{skipped}{unreadable}",
        terms.join(", "),
        progress.images_per_second,
        progress.waiting * 100.0,
        clock(progress.eta),
    )
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
