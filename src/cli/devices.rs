use std::process::ExitCode;

use comfy_table::Table;
use serde::Serialize;

use super::args::DevicesArgs;
use crate::device::{AdapterReport, Capabilities, Device, MatrixUnit, adapters};
use crate::error::Result;

/// An adapter and what it computes with, or why it cannot be opened.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    adapter: AdapterReport,
    #[serde(flatten)]
    capabilities: Option<Capabilities>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn run(args: &DevicesArgs) -> Result<ExitCode> {
    let rows = adapters().into_iter().map(|adapter| {
        let opened = Device::open(&adapter.choice);
        let capabilities = opened.map(|device| device.capabilities().clone());
        let (capabilities, error) = match capabilities {
            Ok(capabilities) => (Some(capabilities), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Row { adapter, capabilities, error }
    });
    let rows: Vec<Row> = rows.collect();
    if args.json {
        say!("{}", serde_json::to_string_pretty(&rows).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.set_header([
        "--device",
        "name",
        "kind",
        "API",
        "driver",
        "kernels",
        "precisions",
        "matrix units",
        "memory",
        "largest binding",
    ]);
    let mib = |mib: Option<u64>| mib.map_or_else(|| "-".to_owned(), |mib| format!("{mib} MiB"));
    for Row { adapter, capabilities, .. } in &rows {
        let [kernels, precisions, units] = match capabilities {
            Some(found) => [
                found.compiler.map_or_else(|| "-".to_owned(), |compiler| compiler.to_string()),
                join(found.precisions.iter().map(ToString::to_string), " "),
                units(&found.matrix_units),
            ],
            None => ["does not open".to_owned(), "-".to_owned(), "-".to_owned()],
        };
        let memory = capabilities.as_ref().and_then(|found| found.memory);
        let binding = Some(adapter.max_binding_mib).filter(|&mib| mib > 0);
        table.add_row([
            adapter.choice.clone(),
            adapter.name.clone(),
            adapter.kind.clone(),
            adapter.api.clone(),
            adapter.driver.clone(),
            kernels,
            precisions,
            units,
            mib(memory.map(|bytes| bytes >> 20)),
            mib(binding),
        ]);
    }
    say!("{table}");
    for error in rows.iter().filter_map(|row| row.error.as_ref()) {
        note!("singer: {error}");
    }
    let auto = rows.iter().find(|row| row.adapter.choice != "software");
    let auto = auto.map_or("cpu", |row| &row.adapter.choice);
    say!("`auto` takes {auto}; a software rasteriser is used only when named.");
    Ok(ExitCode::SUCCESS)
}

/// Their types, each with its shapes.
fn units(units: &[MatrixUnit]) -> String {
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    for MatrixUnit { factors, sums, m, n, k, .. } in units {
        let (kind, shape) = (format!("{factors}->{sums}"), format!("{m}x{n}x{k}"));
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, shapes)) => shapes.push(shape),
            None => kinds.push((kind, vec![shape])),
        }
    }
    let lines = kinds.into_iter().map(|(kind, shapes)| format!("{kind} {}", shapes.join(" ")));
    match units.is_empty() {
        true => "-".to_owned(),
        false => join(lines, "\n"),
    }
}

fn join(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}
