//! `singer inspect`: looks into a teacher, its refinement and its student on
//! images.

mod args;
mod models;

use std::process::ExitCode;

use super::models::say_assumed;
use super::{hints, session};
use crate::data::ImageSet;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::inspect::{
    Findings, Framing, Inspection, ModelsToCompare, PictureSize, STUDENT, VisualKind, open_pictures,
};
use crate::refine::Adapters;
use crate::report::{self, make_folder};
use crate::run::RefineKind;
pub(super) use args::InspectArgs;

pub(super) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let kinds = args.refine.iter().map(|name| kind(name)).collect::<Result<Vec<RefineKind>>>()?;
    let models = models::resolve(args)?;
    let (framing, scene_side) = framing(args, &models)?;
    let inspection = inspection(args, &models)?;
    let sets = args.images.iter().map(|place| session::pictures(place, scene_side, args.limit));
    let sets = sets.collect::<Result<Vec<ImageSet>>>()?;
    let (pictures, left_out) = open_pictures(&sets, framing, args.limit)?;

    let opened = Device::open(&args.device)?;
    std::iter::once(&models.teacher).chain(&models.student).for_each(say_assumed);
    let mut compared = models.load(&opened)?;
    if let Some(path) = &args.adapters {
        let named = |error| match error {
            Error::Adapters(reason) => Error::Adapters(format!("{}: {reason}", path.display())),
            other => other,
        };
        let adapters = Adapters::open(path, opened.burn())?;
        compared = compared.with_adapters(adapters).map_err(named)?;
    }
    compared.check(&inspection, &pictures)?;
    make_folder(&args.out)?;
    say!("looking at {} images, {}", pictures.len(), opened.name());
    for kind in kinds {
        compared = compared.treated(kind, &pictures)?;
    }
    let mut findings = inspection.run(&compared, &pictures, &opened)?;
    for size in &args.sizes {
        let framing = Framing { size: size.0, ..framing };
        let (pictures, _) = open_pictures(&sets, framing, args.limit)?;
        let plain = inspection.clone().with(|i| {
            (i.visuals, i.inject) = (Vec::new(), false);
            (i.mark, i.marked_image) = (None, None);
        });
        say!("norms at {}", shown(size.0));
        findings.add_size(&plain.run(&compared, &pictures, &opened)?);
    }
    findings.notes.extend(left_out.iter().map(note));
    print_summary(&findings);
    for path in report::inspect::write(&findings, &opened, &args.out)? {
        say!("wrote {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(size: PictureSize) -> String {
    match size {
        PictureSize::Shorter(side) => format!("{side} pixels"),
        PictureSize::Original => "the images' own size".into(),
    }
}

/// The shorter side is the teacher's unless asked otherwise; also the side at which
/// scenes are drawn.
fn framing(args: &InspectArgs, models: &ModelsToCompare) -> Result<(Framing, usize)> {
    let own = models.framing()?;
    let framing = Framing { size: args.size.map_or(own.size, |size| size.0), ..own };
    let scene_side = match framing.size {
        PictureSize::Shorter(side) => side,
        PictureSize::Original => session::scene_side(&models.teacher.config),
    };
    Ok((framing, scene_side))
}

/// The arguments, with the run's settings where they say nothing.
fn inspection(args: &InspectArgs, models: &ModelsToCompare) -> Result<Inspection> {
    let own = models.inspection();
    let visuals = args.map.iter().map(|name| visual(name)).collect::<Result<Vec<_>>>()?;
    if args.foreground.is_some() && !visuals.contains(&VisualKind::Pca) {
        return Err(Error::config("--foreground is for colours: add --map pca"));
    }
    Ok(own.with(|i| {
        i.layers = args.layers.clone().unwrap_or_default();
        i.quantile = args.quantile.unwrap_or(i.quantile);
        i.mark = args.mark.map(|mark| mark.patch);
        i.marked_image = args.mark.and_then(|mark| mark.image);
        i.visuals = visuals;
        i.foreground = args.foreground;
        i.segments = args.segments;
        i.shifts = args.shifts;
        i.training_free = args.training_free;
        i.rank = args.rank.or(i.rank);
        i.inject = args.inject;
        i.batch = args.batch;
    }))
}

/// A further map by its name. Those of other input sizes have a flag of their own.
fn visual(name: &str) -> Result<VisualKind> {
    let kind = serde_json::from_value(name.into()).ok();
    kind.filter(|kind| *kind != VisualKind::Sizes).ok_or_else(|| {
        Error::config(format!("--map {name}: use pca, attention, segments or nearest"))
    })
}

/// A treatment by its name.
fn kind(name: &str) -> Result<RefineKind> {
    let kind = serde_json::from_value(name.into()).ok();
    let shown = |kind: &RefineKind| *kind != RefineKind::None && !kind.is_trained();
    kind.filter(shown).ok_or_else(|| {
        Error::config(format!("--refine {name}: use closed, neighbours, registers or averaged"))
    })
}

/// Why an image was left out, and how to have it in.
fn note(error: &Error) -> String {
    match hints::hint(error) {
        Some(hint) => format!("Left out: {error}; {hint}."),
        None => format!("Left out: {error}."),
    }
}

fn print_summary(findings: &Findings) {
    for series in &findings.depth {
        let shown = |layer| series.subject == STUDENT || findings.layers.contains(&layer);
        let Some(row) = series.rows.iter().rev().find(|row| shown(row.layer)) else { continue };
        let [least, _, _, median, .., most] = row.quantiles;
        say!(
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
        say!(
            "{} put back at layer {}: in the end, cosine of the class token {:.4}, of the patches {:.4}{logits}",
            injection.method,
            injection.layer,
            injection.class_cosine,
            injection.patch_cosine
        );
    }
    for note in &findings.notes {
        say!("note: {note}");
    }
}
