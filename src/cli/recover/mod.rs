//! `singer recover`: how much of the clean features comes back from planted
//! artifacts.

mod args;
mod chart;
mod table;

pub(super) use args::RecoverArgs;

use std::path::Path;
use std::process::ExitCode;

use burn::tensor::{Device as BurnDevice, Tensor};
use serde::Serialize;

use super::config::{DataConfig, MethodName};
use super::figure::{plate, png};
use super::inspect::Run;
use super::parts_file;
use super::preprocessing::preprocess;
use super::progress::Shown;
use super::{models, session};
use crate::data::Split;
use crate::device::Device;
use crate::distill;
use crate::distill::Weights;
use crate::error::{Error, Result};
use crate::method::{FitSettings, fit_adapters};
use crate::plant::{Placement, PlantSettings, Planted, plant, silence};
use crate::recover::{Recovery, Settings, measure};
use crate::refine::Adapter;
use crate::vit::Vit;
use crate::weights::write_atomically;

/// One planted teacher and what came back of its clean features.
#[derive(Debug, Serialize)]
struct Case {
    /// Where the planted vector points; none for a given teacher.
    placement: Option<Placement>,
    /// Its norm over the median patch norm; none for a given teacher.
    strength: Option<f64>,
    planted: Option<Planted>,
    /// The fit's last outlier and information loss, weighted; none where the
    /// adapters were given.
    fit: Option<[f32; 2]>,
    recoveries: Vec<Recovery>,
}

impl Case {
    fn name(&self) -> String {
        match (self.placement, self.strength) {
            (Some(placement), Some(strength)) => {
                let placement = serde_json::json!(placement);
                format!("{}, {strength}x", placement.as_str().unwrap_or_default())
            }
            _ => "given teacher".into(),
        }
    }
}

/// What is written as `recovery.json`.
#[derive(Debug, Serialize)]
struct Report {
    teacher: String,
    device: String,
    settings: Settings,
    fit: FitSettings,
    fit_images: usize,
    measured_images: usize,
    cases: Vec<Case>,
}

pub(super) fn run(args: &RecoverArgs) -> Result<ExitCode> {
    let shape = models::open(&args.clean, args.arch.as_deref())?;
    let opened = Device::open(&args.device)?;
    let plain = opened.burn();
    let mut clean = models::build(&shape, 0, plain)?;
    if let Some(block) = args.silence {
        let (model, unit) = silence(clean, block)?;
        println!("silenced hidden unit {unit} of block {block}");
        clean = model;
    }
    let depth = clean.depth();
    let settings = Settings {
        block: args.block.unwrap_or(depth * 17 / 24),
        quantile: args.quantile,
        rank: args.rank.min(clean.embed_dim()),
    };
    let side = session::scene_side(&shape.config);
    let data = args.preprocess.over(DataConfig::default())?;
    let preprocess = preprocess(&data, &shape)?;
    let eval = session::eval_settings(&data, shape.config.img_size, &preprocess, 1, None);
    let images = |place: &str, split: Split| -> Result<Vec<Tensor<4>>> {
        session::batches(&session::images(place, split, side)?, args.limit, &eval, plain)
    };
    let fitted_on = images(&args.data, Split::Train)?;
    let measured_on = match &args.val {
        Some(place) => images(place, Split::Val)?,
        None => fitted_on.clone(),
    };
    let fit = FitSettings {
        method: distill::Settings {
            layers: if settings.block + 1 < depth { vec![settings.block] } else { Vec::new() },
            rank: settings.rank,
            quantile: settings.quantile,
            weights: Weights { kd: 0.0, outlier: args.outlier_weight, info: args.info_weight },
            ..distill::Settings::default()
        },
        steps: args.fit_steps,
        lr: args.lr,
        seed: args.seed,
        parts: session::parts(None, &opened),
    };
    fit.method.resolve_layers(depth)?;
    let count = |batches: &[Tensor<4>]| batches.iter().map(|batch| batch.dims()[0]).sum();
    let work = Work {
        clean: &clean,
        fitted_on: &fitted_on,
        measured_on: &measured_on,
        settings,
        fit: &fit,
    };
    let mut report = Report {
        teacher: args.clean.display().to_string(),
        device: opened.name().to_owned(),
        settings,
        fit: fit.clone(),
        fit_images: count(&fitted_on),
        measured_images: count(&measured_on),
        cases: Vec::new(),
    };
    match &args.planted {
        Some(file) => {
            let planted = models::build(&models::open(file, args.arch.as_deref())?, 0, plain)?;
            let adapters = args.run.as_deref().map(|run| adapters_of(run, plain)).transpose()?;
            report.cases.push(work.case(&planted, adapters)?);
        }
        None => {
            for &strength in &args.strengths {
                for placement in &args.placements {
                    report.cases.push(work.plant(args, placement, strength)?);
                    println!("{} done", report.cases[report.cases.len() - 1].name());
                }
            }
        }
    }
    write(&report, &args.out)?;
    Ok(ExitCode::SUCCESS)
}

/// What all cases share.
struct Work<'a> {
    clean: &'a Vit,
    fitted_on: &'a [Tensor<4>],
    measured_on: &'a [Tensor<4>],
    settings: Settings,
    fit: &'a FitSettings,
}

impl Work<'_> {
    fn plant(&self, args: &RecoverArgs, placement: &str, strength: f64) -> Result<Case> {
        let placement = serde_json::from_value(placement.into()).map_err(|_| {
            Error::config(format!("--placements {placement}: use inside, mixed or outside"))
        })?;
        let settings = PlantSettings {
            block: self.settings.block,
            strength,
            share: args.share,
            placement,
            rank: self.settings.rank,
            seed: args.seed,
        };
        let (teacher, planted) = plant(self.clean.clone(), self.fitted_on, &settings)?;
        let case = self.case(&teacher, None)?;
        let (placement, planted) = (Some(placement), Some(planted));
        Ok(Case { placement, strength: Some(strength), planted, ..case })
    }

    /// With adapters of a run, or fitted ones.
    fn case(&self, teacher: &Vit, adapters: Option<Vec<(usize, Adapter)>>) -> Result<Case> {
        let (adapters, fit) = match adapters {
            Some(adapters) => (adapters, None),
            None => {
                let shown = Shown::new(true);
                let mut report = |progress| shown.adapters(progress);
                let fitted = fit_adapters(teacher, self.fitted_on, self.fit, &mut report)?;
                shown.finish();
                (fitted.adapters, Some(fitted.losses))
            }
        };
        let recoveries = measure(self.clean, teacher, &adapters, self.measured_on, &self.settings)?;
        Ok(Case { placement: None, strength: None, planted: None, fit, recoveries })
    }
}

/// What a run of `singer distill` trained.
fn adapters_of(folder: &Path, device: &BurnDevice) -> Result<Vec<(usize, Adapter)>> {
    let run = Run::open(folder)?;
    if run.config.method != MethodName::Singer {
        return Err(Error::data(
            folder,
            "the run has no adapters; give one with method = \"singer\"",
        ));
    }
    let file = parts_file::open(folder)?;
    file.layers()?.into_iter().map(|layer| Ok((layer, file.adapter(layer, device)?))).collect()
}

fn write(report: &Report, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).map_err(|error| Error::io(out, error))?;
    let json = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
    let page = table::page(report);
    let figure = plate("Artifacts: distance to clean", &chart::panels(report))?;
    let files: [(&str, Vec<u8>); 3] = [
        ("recovery.json", json.into_bytes()),
        ("recovery.md", page.clone().into_bytes()),
        ("recovery.png", png(figure)?),
    ];
    print!("{page}");
    for (name, bytes) in files {
        write_atomically(&out.join(name), &bytes)?;
        println!("wrote {}", out.join(name).display());
    }
    Ok(())
}
