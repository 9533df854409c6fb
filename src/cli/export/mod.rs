//! `singer export`.

mod args;

use std::process::ExitCode;

pub(super) use args::ExportArgs;

use super::models;
use crate::device::Device;
use crate::error::Result;
use crate::export::{Destination, ExportOptions, Provenance};
use crate::run::DataConfig;

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode> {
    let format = args.to.format();
    // Before the weights are fetched and read.
    Destination::of(format, &args.out)?.check(args.force)?;
    let origin = Provenance::of(&args.weights)?;
    let resolved = args.read.open(&origin.weights)?;
    let model = models::load(resolved, &DataConfig::default(), &Device::cpu())?;
    let mut model = model.with_card(origin.card());
    if args.no_head {
        model = model.without_head();
    }
    let dtype = args.dtype.dtype();
    let options = ExportOptions { dtype, external_data: args.external_data, replace: args.force };
    let exported = model.export_with(format, &args.out, &options)?;
    for (path, bytes) in &exported.files {
        say!("wrote {} ({bytes} bytes)", path.display());
    }
    for note in &exported.notes {
        say!("{note}");
    }
    if exported.vanished > 0 {
        note!(
            "singer: warning: {} values are too small for {} and became zero",
            exported.vanished,
            dtype.name()
        );
    }
    Ok(ExitCode::SUCCESS)
}
