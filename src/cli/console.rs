//! Progress on a terminal, and plain lines off one.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::train::{Progress, Record};

pub(super) struct Console {
    bar: Option<ProgressBar>,
}

impl Console {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar }
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
        let line = describe(progress);
        match &self.bar {
            Some(bar) => {
                bar.set_length(progress.steps as u64);
                bar.set_position(progress.record.step as u64);
                bar.set_message(line);
            }
            None => say!("step {}/{} {line}", progress.record.step, progress.steps),
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
