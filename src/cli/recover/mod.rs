//! `singer recover`: how much of the clean features comes back from planted
//! artifacts.

mod args;

pub(super) use args::RecoverArgs;

use std::path::Path;
use std::process::ExitCode;

use burn::tensor::{Device as BurnDevice, Tensor};

use super::progress::Shown;
use super::{models, session};
use crate::data::Split;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::plant::{Kind, Placement, silence};
use crate::recover::{Event, Experiment, GivenTeacher, Images, Subject, Treatment};
use crate::refine::Adapters;
use crate::refine::nullspace::BasisKind;
use crate::report::recover::{json, markdown, write};
use crate::run::{DataConfig, RunRecord, batches};

pub(super) fn run(args: &RecoverArgs) -> Result<ExitCode> {
    let shape = args.shape.open(&args.clean)?;
    let device = Device::open(&args.device)?;
    let experiment = Experiment { threads: device.shards(), ..experiment(args)? };
    let side = session::scene_side(&shape.config);
    let data = args.preprocess.over(DataConfig::default())?;
    let model = models::load(shape, &data, &device)?;
    let mut passed_over = Vec::new();
    let mut images = |places: &[String], split: Split| -> Result<Vec<Tensor<4>>> {
        let images = session::images(places, split, side, Some(args.limit))?;
        let (batches, passed) = batches(&model, &images, args.limit, data.max_unreadable)?;
        passed_over.extend(passed);
        Ok(batches)
    };
    let mut clean = model.vit().clone();
    if let Some(block) = args.silence {
        let (silenced, unit) = silence(clean, block)?;
        if !args.json {
            say!("silenced hidden unit {unit} of block {block}");
        }
        clean = silenced;
    }
    let fit = images(&args.data, Split::Train)?;
    let measure = match args.val.as_slice() {
        [] => fit.clone(),
        places => images(places, Split::Val)?,
    };
    let given = args.planted.as_deref().map(|file| -> Result<GivenTeacher> {
        let planted = args.shape.open_like(file, model.config())?;
        let planted = models::build(&planted, 0, device.burn())?;
        let adapters =
            args.run.as_deref().map(|run| adapters_of(run, device.burn())).transpose()?;
        Ok(GivenTeacher { planted, adapters })
    });
    let given = given.transpose()?;

    let mut shown: Option<Shown> = None;
    let mut report = |event: Event<'_>| match event {
        Event::Fit(progress) => shown.get_or_insert_with(|| Shown::new(true)).adapters(progress),
        Event::Case(case) => {
            if let Some(shown) = shown.take() {
                shown.finish();
            }
            if case.subject != Subject::Given && !args.json {
                say!("{} done", case.name());
            }
        }
    };
    let teacher = args.clean.display().to_string();
    let normalise = model.preprocess().normalise;
    let images = Images { fit: &fit, measure: &measure, normalise };
    let findings = experiment.run(&teacher, &clean, images, given, &device, &mut report)?;
    let written = write(&findings, &args.out)?;
    if args.json {
        say!("{}", json(&findings)?);
        session::report_beside_json(&passed_over);
        return Ok(ExitCode::SUCCESS);
    }
    say_part!("{}", markdown(&findings));
    session::report(&passed_over);
    written.iter().for_each(|path| say!("wrote {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

fn experiment(args: &RecoverArgs) -> Result<Experiment> {
    let treatments = match args.treatments.as_slice() {
        [] => Treatment::ALL.into(),
        given => session::named("--treatments", given, &Treatment::ALL)?,
    };
    Ok(Experiment {
        block: args.block,
        kinds: session::named("--kinds", &args.kinds, &Kind::ALL)?,
        placements: session::named("--placements", &args.placements, &Placement::ALL)?,
        treatments,
        strengths: args.strengths.clone(),
        share: args.share,
        class_share: args.class_share,
        rank: args.rank,
        basis: serde_json::from_value(args.basis.as_str().into())
            .ok()
            .filter(|kind| *kind != BasisKind::Threshold)
            .ok_or_else(|| {
                Error::config(format!("--basis {}: use smallest, random or data", args.basis))
            })?,
        quantile: args.quantile,
        fit_steps: args.fit_steps,
        lr: args.lr,
        outlier_weight: args.outlier_weight,
        info_weight: args.info_weight,
        seed: args.seed,
        seeds: args.seeds,
        ..Experiment::default()
    })
}

/// What a run of `singer distill` trained.
fn adapters_of(folder: &Path, device: &BurnDevice) -> Result<Adapters> {
    let run = RunRecord::open(folder)?;
    match run.parts()?.filter(|_| run.has_adapters()) {
        Some(parts) => parts.adapters(device),
        None => {
            Err(Error::data(folder, "the run has no adapters; give one with method = \"singer\""))
        }
    }
}
