use std::process::ExitCode;

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
    for row in &rows {
        say!("{}", description(row));
    }
    for error in rows.iter().filter_map(|row| row.error.as_ref()) {
        note!("singer: {error}");
    }
    let auto = rows.iter().find(|row| row.adapter.choice != "software");
    let auto = auto.map_or("cpu", |row| &row.adapter.choice);
    say!("`auto` takes {auto}; a software rasteriser is used only when named.");
    Ok(ExitCode::SUCCESS)
}

/// A device's name under which it is chosen, and under it what it is and can.
fn description(Row { adapter, capabilities, .. }: &Row) -> String {
    let AdapterReport { choice, name, kind, api, driver, max_binding_mib, .. } = adapter;
    let mut lines = vec![format!("{choice:<10} {name}")];
    let mut add = |line: String| lines.push(format!("{:<10} {line}", ""));
    add(join([kind, api, driver].into_iter().filter(|part| !part.is_empty()).cloned(), ", "));
    match capabilities {
        None => add("does not open".into()),
        Some(found) => {
            let compiler = found.compiler.map(|compiler| format!("kernels in {compiler}; "));
            let precisions = join(found.precisions.iter().map(ToString::to_string), ", ");
            add(format!("{}products in {precisions}", compiler.unwrap_or_default()));
            units(&found.matrix_units).into_iter().for_each(&mut add);
            if let Some(bytes) = found.memory {
                add(format!("memory {} MiB, largest binding {max_binding_mib} MiB", bytes >> 20));
            } else if *max_binding_mib > 0 {
                add(format!("largest binding {max_binding_mib} MiB"));
            }
        }
    }
    lines.join("\n") + "\n"
}

/// The products of matrix units: a line for their types, with its shapes.
fn units(units: &[MatrixUnit]) -> Vec<String> {
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    for MatrixUnit { factors, sums, m, n, k, .. } in units {
        let (kind, shape) = (format!("{factors}->{sums}"), format!("{m}x{n}x{k}"));
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, shapes)) => shapes.push(shape),
            None => kinds.push((kind, vec![shape])),
        }
    }
    let line = |(kind, shapes): (String, Vec<String>)| {
        format!("matrix units {kind}: {}", shapes.join(", "))
    };
    kinds.into_iter().map(line).collect()
}

fn join(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}
