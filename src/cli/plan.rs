//! `singer plan`: the memory of a distillation before it runs.

use std::process::ExitCode;

use comfy_table::{CellAlignment, Table};
use serde_json::json;

use super::args::PlanArgs;
use super::distill;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::ModelSpec;
use crate::run::Plan;
use crate::vit::preset;

pub(super) fn run(args: PlanArgs) -> Result<ExitCode> {
    let stated = args.memory.as_deref().map(|text| parse_bytes("--memory", text)).transpose()?;
    let (mut config, _) = distill::settings(args.distill)?;
    plan_by_name(&mut config.teacher);
    let (memory, precision, shards) = match stated {
        // Another device than this machine's, so nothing is known of its matrix units.
        Some(bytes) => (Some(bytes), config.precision.stated().unwrap_or_default(), 1),
        None => {
            let device = Device::open(&config.device.0)?;
            let precision = config.precision.on(&device)?.precision;
            (device.capabilities().memory, precision, config.train.shards(&device))
        }
    };
    let plan = Plan::of(&config, precision, shards)?;
    let fits = memory.map(|bytes| plan.largest_batch(bytes));
    let micro_batches = match memory {
        Some(bytes) if plan.total() > bytes => {
            Some(Plan::fewest_micro_batches(&config, precision, shards, bytes)?)
        }
        _ => None,
    };
    if args.json {
        let report = json!({
            "plan": plan,
            "total": plan.total(),
            "memory": memory,
            "largest_batch": fits,
            "accumulate": micro_batches.flatten(),
        });
        say!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", table(&plan));
    if let (Some(bytes), Some(batch)) = (memory, fits) {
        let in_parts = match plan.accumulate {
            1 => String::new(),
            count => format!(" in {count} micro-batches"),
        };
        match batch {
            0 => say!("{} hold no batch{in_parts}", size(bytes)),
            batch => say!("the largest batch{in_parts} in {}: {batch}", size(bytes)),
        }
    }
    match micro_batches {
        Some(Some(count)) => say!("a batch of {} fits with --accumulate {count}", plan.batch),
        Some(None) => say!("a batch of {} does not fit, whatever its micro-batches", plan.batch),
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// A plan needs the teacher's shape alone, for which a timm name does where no such file is.
fn plan_by_name(teacher: &mut ModelSpec) {
    let Some(path) = teacher.weights.as_ref().filter(|path| !path.exists()) else { return };
    if let Some(preset) = path.to_str().and_then(preset) {
        teacher.arch.get_or_insert_with(|| preset.name.to_owned());
        teacher.weights = None;
    }
}

fn table(plan: &Plan) -> Table {
    let micro = plan.batch.div_ceil(plan.accumulate) as u64;
    let image = &plan.image;
    let parts = [
        ("teacher's weights".to_owned(), plan.teacher_weights),
        ("trained weights".to_owned(), plan.trained_weights),
        ("gradients".to_owned(), plan.gradients),
        ("optimiser".to_owned(), plan.optimizer),
        ("kept from batch to batch".to_owned(), plan.method_state),
        (
            format!("images and features of a batch of {}", plan.batch),
            plan.whole_batch * plan.batch as u64,
        ),
        (format!("student's activations, {micro} images"), image.student * micro),
        (format!("loss, {micro} images"), image.method * micro),
        (format!("intermediate results, {micro} images"), image.workspace * micro),
        ("together".to_owned(), plan.total()),
    ];
    let mut table = Table::new();
    let name = plan
        .teacher
        .as_ref()
        .map_or(plan.student.clone(), |teacher| format!("{teacher} -> {}", plan.student));
    table.set_header([format!("{name}, products in {}", plan.precision), "memory".into()]);
    for (part, bytes) in parts {
        table.add_row([part, size(bytes)]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn size(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        bytes => format!("{:.1} MB", bytes / 1e6),
    }
}

/// Bytes of `12GB`, `8GiB`, `900 MB` or a plain number of bytes.
pub(super) fn parse_bytes(flag: &str, text: &str) -> Result<u64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1.0),
        "mb" | "m" => Some(1e6),
        "gb" | "g" => Some(1e9),
        "mib" => Some(1024.0 * 1024.0),
        "gib" => Some(1024.0 * 1024.0 * 1024.0),
        _ => None,
    };
    let number = number.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    match (number, unit) {
        (Some(number), Some(unit)) => Ok((number * unit) as u64),
        _ => Err(Error::config(format!("{flag} {text}: write it as 12GB or 8GiB"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_memory_are_read_in_the_units_that_cards_are_sold_in() {
        let read = |text| parse_bytes("--memory", text).ok();
        assert_eq!(read("12GB"), Some(12_000_000_000));
        assert_eq!(read("8 GiB"), Some(8 << 30));
        assert_eq!(read("1.5g"), Some(1_500_000_000));
        assert_eq!(read("900mb"), Some(900_000_000));
        assert_eq!(read("4096"), Some(4096));
        for wrong in ["", "GB", "-1GB", "12 parsecs", "0"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
