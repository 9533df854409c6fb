use std::path::Path;
use std::time::Instant;

use comfy_table::Table;
use serde_json::{Value, json};

use super::args::FitArgs;
use super::subject::Subject;
use crate::error::{Error, Result};
use crate::probe::{LinearHead, ProbeTimes};
use crate::report;
use crate::report::probe::{is_finished, write};
use crate::run::folder::{now, versions};

/// What a probe finds, on its way to the user.
pub(super) struct Report {
    command: &'static str,
    started: u64,
    clock: Instant,
    check_seconds: Option<f64>,
}

impl Report {
    pub(super) fn begin(command: &'static str) -> Self {
        Self { command, started: now(), clock: Instant::now(), check_seconds: None }
    }

    /// The sets are open and all their maps looked into.
    pub(super) fn checked(&mut self) {
        self.check_seconds = Some((self.clock.elapsed().as_secs_f64() * 1e3).round() / 1e3);
    }

    /// Prints the scores, as JSON or as a table of `rows` with a line about the `images`
    /// below, and writes what `--out` asks for.
    pub(super) fn finish(
        self,
        args: &FitArgs,
        subject: &Subject,
        (config, result, times): (Value, Value, ProbeTimes),
        (rows, images): (&[(String, String)], String),
        head: &LinearHead,
        sheet: Option<image::RgbImage>,
    ) -> Result<()> {
        let mut report = json!({
            "command": format!("probe {}", self.command),
            "started": self.started,
            "versions": versions(),
            "seed": args.seed,
            "config": config,
            "result": result,
            "timing": times,
        });
        report["config"]["model"] = subject.description();
        if let Some(seconds) = self.check_seconds {
            report["timing"]["check_seconds"] = json!(seconds);
        }
        if args.json {
            say!("{report:#}");
        } else {
            let mut table = Table::new();
            table.set_header(["measure", "value"]);
            for (measure, value) in rows {
                table.add_row([measure, value]);
            }
            say!("{table}");
        }
        if let Some(out) = &args.out {
            let written = write(&report, head, sheet, out)?;
            if !args.json {
                written.iter().for_each(|path| say!("wrote {}", path.display()));
            }
        }
        if !args.json {
            say!("{images}, {}", subject.note());
        }
        Ok(())
    }
}

/// Makes the output folder and makes sure that it takes files, before the work and not after
/// it.
pub(super) fn make_folder(out: Option<&Path>) -> Result<()> {
    let Some(out) = out else { return Ok(()) };
    if is_finished(out) {
        return Err(Error::config(format!(
            "{} already holds a probe; choose another --out",
            out.display()
        )));
    }
    report::make_folder(out)
}

/// A share as the table shows it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
