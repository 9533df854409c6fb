use indicatif::{ProgressBar, ProgressStyle};

use super::output::{ProgressTo, progress};
use crate::distill::singer::FitStep;
use crate::probe::{HeadFitProgress, ProbeEvent, ProbedSet};

/// Progress on a terminal's last line; off one, a line for each tenth, unless it is
/// quiet, as where the output is JSON.
pub(super) struct Shown {
    bar: Option<ProgressBar>,
    lines: bool,
}

impl Shown {
    pub(super) fn new(quiet: bool) -> Self {
        Self { bar: bar(), lines: progress() == ProgressTo::Lines && !quiet }
    }

    /// A probe's progress; `name` says what to call a set.
    pub(super) fn probe<'a>(&self, event: ProbeEvent, name: impl Fn(ProbedSet) -> &'a str) {
        match event {
            ProbeEvent::Features(set, progress) => {
                let message = || format!("features of {}", name(set));
                self.show(progress.done, progress.total, message);
            }
            ProbeEvent::Fit(HeadFitProgress { step, steps, loss, rate, .. }) => {
                self.show(step, steps, || format!("head | loss {loss:.4} | lr {rate:.2e}"));
            }
            ProbeEvent::Score { done, total } => self.show(done, total, || "scoring".into()),
        }
    }

    pub(super) fn adapters(&self, progress: FitStep) {
        let FitStep { step, steps, outlier, information, identity } = progress;
        let kept = if identity > 0.0 { format!(", identity {identity:.4}") } else { String::new() };
        self.show(step, steps, || {
            format!("adapters | outlier {outlier:.4}, info {information:.4}{kept}")
        });
    }

    /// The closed form is being estimated.
    pub(super) fn looking(&self, done: usize, blocks: usize) {
        self.show(done, blocks, || "looking for artifacts, block by block".into());
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

/// A bar, where progress goes to a terminal.
pub(super) fn bar() -> Option<ProgressBar> {
    (progress() == ProgressTo::Terminal).then(|| {
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    })
}

/// Shows a download on a terminal: the file, the bytes that are there, and those of the whole.
pub(super) fn download() -> impl FnMut(&str, u64, u64) {
    let style =
        ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let mut bar: Option<ProgressBar> = None;
    move |file, done, total| {
        let shown = bar.get_or_insert_with(|| match progress() {
            ProgressTo::Nowhere => ProgressBar::hidden(),
            _ => ProgressBar::new(total).with_style(style.clone()).with_message(file.to_owned()),
        });
        shown.set_position(done);
        if done >= total {
            shown.finish_and_clear();
            bar = None;
        }
    }
}

/// Whether a tenth of the whole ends with `done`, where they are counted singly.
fn is_tenth(done: usize, total: usize) -> bool {
    total >= 10 && done.is_multiple_of(total / 10)
}
