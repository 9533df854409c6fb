use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::distill::singer::FitStep;
use crate::probe::FitProgress;
use crate::probe::features::FeatureProgress;

/// Progress on a terminal's last line; off one, a line for each tenth, unless it is
/// quiet, as where the output is JSON.
pub(super) struct Shown {
    bar: Option<ProgressBar>,
    lines: bool,
}

impl Shown {
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, lines: !terminal && !quiet }
    }

    pub(super) fn features(&self, what: &str, progress: FeatureProgress) {
        self.show(progress.done, progress.total, || format!("features of {what}"));
    }

    pub(super) fn fit(&self, progress: FitProgress) {
        let FitProgress { step, steps, loss, rate, .. } = progress;
        self.show(step, steps, || format!("head | loss {loss:.4} | lr {rate:.2e}"));
    }

    pub(super) fn adapters(&self, progress: FitStep) {
        let FitStep { step, steps, outlier, information } = progress;
        self.show(step, steps, || {
            format!("adapters | outlier {outlier:.4}, info {information:.4}")
        });
    }

    pub(super) fn scored(&self, done: usize, total: usize) {
        self.show(done, total, || "scoring".into());
    }

    fn show(&self, done: usize, total: usize, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            bar.set_message(message());
        } else if self.lines && (done == total || is_tenth(done, total)) {
            say!("{done}/{total} {}", message());
        }
    }

    /// Clears the bar, so that what follows starts on its own line.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Whether a tenth of the whole ends with `done`, where they are counted singly.
fn is_tenth(done: usize, total: usize) -> bool {
    total >= 10 && done.is_multiple_of(total / 10)
}
