use std::path::Path;
use std::time::Instant;

use comfy_table::Table;
use serde_json::{Map, Value, json};

use super::args::FitArgs;
use crate::error::{Error, Result};
use crate::probe::LinearHead;
use crate::report;
use crate::report::probe::{is_finished, write};
use crate::run::folder::{now, versions};

/// What a probe finds, on its way to the user.
pub(super) struct Outcome {
    command: &'static str,
    started: u64,
    clock: Instant,
    times: Map<String, Value>,
}

/// Makes the output folder and makes sure that it takes files, before the work
/// and not after it.
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

impl Outcome {
    pub(super) fn begin(command: &'static str) -> Self {
        Self { command, started: now(), clock: Instant::now(), times: Map::new() }
    }

    /// Notes how long the part that just ended took.
    pub(super) fn lap(&mut self, part: &str) {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.times.insert(format!("{part}_seconds"), json!((seconds * 1e3).round() / 1e3));
        self.clock = Instant::now();
    }

    /// Prints the scores, as JSON or as a table of `rows`, and writes what `--out` asks for.
    pub(super) fn report(
        self,
        args: &FitArgs,
        config: &Value,
        result: &Value,
        rows: &[(String, String)],
        head: &LinearHead,
        sheet: Option<image::RgbImage>,
    ) -> Result<()> {
        let report = json!({
            "command": format!("probe {}", self.command),
            "started": self.started,
            "versions": versions(),
            "seed": args.seed,
            "config": config,
            "result": result,
            "timing": self.times,
        });
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        if args.json {
            say!("{text}");
        } else {
            let mut table = Table::new();
            table.set_header(["measure", "value"]);
            for (measure, value) in rows {
                table.add_row([measure, value]);
            }
            say!("{table}");
        }
        let Some(out) = &args.out else { return Ok(()) };
        let written = write(&report, head, sheet, out)?;
        if !args.json {
            written.iter().for_each(|path| say!("wrote {}", path.display()));
        }
        Ok(())
    }
}

/// A share as the table shows it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
