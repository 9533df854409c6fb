//! `singer inspect`: looks into a teacher, its refinement and its student on
//! images.

mod args;
mod charts;
mod images;
mod names;
mod page;
mod pictures;
mod positions;
mod ranges;
mod report;
mod subject;
mod subjects;
mod tables;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

use super::session;
use crate::data::Interpolation;
use crate::device::Device;
use crate::distill;
use crate::error::{Error, Result};
use crate::inspect::{Findings, Settings, inspect};
use crate::maps::FeatureMaps;
use crate::vit::VitConfig;
pub(super) use args::InspectArgs;
use args::Size;
use pictures::Framing;
pub(super) use subjects::Run;
use subjects::Shapes;

pub(super) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let run = args.run.as_deref().map(Run::open).transpose()?;
    let shapes = Shapes::resolve(args, run.as_ref())?;
    let shape = shapes.teacher.config.clone();
    let seen = shapes.preprocess(args, run.as_ref())?;
    let framing = framing(args, &shape, seen.interpolation);
    let (pictures, left_out) = pictures::read(&args.images, framing, args.limit)?;

    let opened = Device::open(&args.device)?;
    let subjects = shapes.load(args, &seen, run.as_ref(), opened.burn())?;
    let run_layers = subjects.run.iter().map(|parts| parts.layer).collect();
    let settings = settings(args, run.as_ref(), run_layers, &shape);
    subjects.check(&settings, &pictures)?;
    make_folder(&args.out)?;
    let maps = FeatureMaps::new(&opened);
    println!("looking at {} images, {}", pictures.len(), opened.name());
    let mut findings = inspect(&subjects, &pictures, &settings, &opened, &maps)?;
    findings.notes.extend(left_out);
    print_summary(&findings);
    for path in report::write(&findings, &maps, &args.out)? {
        println!("wrote {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The shorter side is the teacher's unless asked otherwise.
fn framing(args: &InspectArgs, teacher: &VitConfig, interpolation: Interpolation) -> Framing {
    let own = teacher.img_size[0].min(teacher.img_size[1]);
    let size = args.size.unwrap_or(Size::Shorter(own));
    let scene_side = match size {
        Size::Shorter(side) => side,
        Size::Original => session::scene_side(teacher),
    };
    Framing { size, patch: teacher.patch_size, scene_side, interpolation }
}

/// The arguments, with the run's settings or the method's where they say nothing.
fn settings(
    args: &InspectArgs,
    run: Option<&Run>,
    run_layers: Vec<usize>,
    teacher: &VitConfig,
) -> Settings {
    let method = run.map(|run| run.config.singer.clone()).unwrap_or_default();
    let distill::Settings { quantile, rank, .. } = method;
    let last = teacher.depth - 1;
    let mut layers = match &args.layers {
        Some(layers) => layers.clone(),
        None if !run_layers.is_empty() => run_layers,
        None => vec![(teacher.depth * 17 / 24).min(last.saturating_sub(1)), last],
    };
    layers.sort_unstable();
    layers.dedup();
    Settings {
        layers,
        quantile: args.quantile.unwrap_or(quantile),
        mark: args.mark.map(|mark| mark.0),
        training_free: args.training_free,
        rank: args.rank.unwrap_or_else(|| rank.min(teacher.embed_dim)),
        inject: args.inject,
        batch: args.batch,
    }
}

/// Makes the output folder and makes sure that it takes files, before the work
/// and not after it.
fn make_folder(out: &Path) -> Result<()> {
    let unusable = |error: std::io::Error| {
        Error::data(out, format!("nothing can be written there ({error}); choose another --out"))
    };
    std::fs::create_dir_all(out).map_err(unusable)?;
    tempfile::tempfile_in(out).map(drop).map_err(unusable)
}

fn print_summary(findings: &Findings) {
    for series in &findings.depth {
        let shown = |layer| series.subject == "student" || findings.layers.contains(&layer);
        let Some(row) = series.rows.iter().rev().find(|row| shown(row.layer)) else { continue };
        let [least, _, _, median, .., most] = row.quantiles;
        println!(
            "{}, layer {}: norms {least:.2} to {most:.2}, median {median:.2}; above 3x their image's median: {:.2} %",
            series.subject,
            row.layer,
            row.outlier_share * 100.0
        );
    }
    for injection in &findings.injections {
        let logits = injection.logits.as_ref().map_or(String::new(), |logits| {
            format!(", KL {:.2e}, same top-1 for {:.1} %", logits.kl, logits.top1_agreement * 100.0)
        });
        println!(
            "{} put back at layer {}: in the end, cosine of the class token {:.4}, of the patches {:.4}{logits}",
            injection.method, injection.layer, injection.class_cosine, injection.patch_cosine
        );
    }
    for note in &findings.notes {
        println!("note: {note}");
    }
}
