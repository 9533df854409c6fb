use burn::tensor::Tensor;
use serde::Serialize;

use super::{Recovery, Settings, measure};
use crate::device::Device;
use crate::distill::singer::{AdapterFit, FitSettings, FitStep, LossWeights, SingerSettings};
use crate::error::Result;
use crate::plant::{Placement, PlantSettings, Planted, plant};
use crate::refine::Adapters;
use crate::train::Shards;
use crate::vit::Vit;

/// Plants artifacts into a clean teacher, fits adapters to it and measures how much
/// of the clean features comes back; [`Experiment::run`] does it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Experiment {
    /// The block into which artifacts are planted; none for one at 17/24 of the depth.
    pub block: Option<usize>,
    /// Where planted vectors point.
    pub placements: Vec<Placement>,
    /// Norms of planted vectors over the median patch norm.
    pub strengths: Vec<f64>,
    /// Share of patches that get one, 0 to 1.
    pub share: f64,
    /// Rank of adapters and bases; at most the teacher's width is used.
    pub rank: usize,
    /// γ: a norm above this quantile of its image's is an outlier.
    pub quantile: f64,
    /// Steps of the adapters' fit.
    pub fit_steps: usize,
    /// Highest learning rate of the fit.
    pub lr: f64,
    /// λ of the outlier loss.
    pub outlier_weight: f64,
    /// λ of the information loss.
    pub info_weight: f64,
    /// Seed of planted directions and of the fit.
    pub seed: u64,
    /// CPU threads that share a batch; 1 on a GPU.
    pub threads: usize,
}

impl Default for Experiment {
    fn default() -> Self {
        Self {
            block: None,
            placements: vec![Placement::Inside, Placement::Mixed, Placement::Outside],
            strengths: vec![3.0, 6.0],
            share: 0.03,
            rank: 64,
            quantile: 0.97,
            fit_steps: 300,
            lr: 1e-2,
            outlier_weight: 0.01,
            info_weight: 1.0,
            seed: 0,
            threads: 1,
        }
    }
}

/// Images in batches `[B, 3, H, W]`, normalised, on the teacher's device.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// On which artifacts are planted and adapters fitted.
    pub fit: &'a [Tensor<4>],
    /// On which the recovery is measured.
    pub measure: &'a [Tensor<4>],
}

/// A teacher that has artifacts already.
#[derive(Debug)]
pub struct GivenTeacher {
    /// The clean teacher with artifacts.
    pub planted: Vit,
    /// Its adapters by layer; none to fit new ones.
    pub adapters: Option<Adapters>,
}

/// One planted teacher, and how much of its clean features comes back.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// Where the planted vector points; none for a given teacher.
    pub placement: Option<Placement>,
    /// Its norm over the median patch norm; none for a given teacher.
    pub strength: Option<f64>,
    /// What was planted; none for a given teacher.
    pub planted: Option<Planted>,
    /// The fit's last outlier and information loss, weighted; none where the
    /// adapters were given.
    pub fit: Option<[f32; 2]>,
    /// By layer, block and treatment.
    pub recoveries: Vec<Recovery>,
}

impl Case {
    /// `inside, 3x`, or `given teacher`.
    pub fn name(&self) -> String {
        match (self.placement, self.strength) {
            (Some(placement), Some(strength)) => {
                let placement = serde_json::json!(placement);
                format!("{}, {strength}x", placement.as_str().unwrap_or_default())
            }
            _ => "given teacher".into(),
        }
    }
}

/// Everything that an experiment measured.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// What to call the clean teacher.
    pub teacher: String,
    /// The device that computed.
    pub device: String,
    /// What was compared.
    pub settings: Settings,
    /// How adapters were fitted.
    pub fit: FitSettings,
    /// Images for planting and fitting.
    pub fit_images: usize,
    /// Images on which the recovery was measured.
    pub measured_images: usize,
    /// One a planted teacher.
    pub cases: Vec<Case>,
}

/// What an experiment reports while it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step of a fit.
    Fit(FitStep),
    /// A case is measured.
    Case(&'a Case),
}

impl Experiment {
    /// Measures every strength and placement, or the `given` teacher alone. `teacher`
    /// is the clean one's name; all models are on `device`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a block the teacher lacks or a
    /// quantile outside 0 to 1; those of [`plant`](crate::plant), of the fit and of
    /// [`measure`].
    pub fn run(
        &self,
        teacher: &str,
        clean: &Vit,
        images: Images<'_>,
        given: Option<GivenTeacher>,
        device: &Device,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Findings> {
        let (settings, fit) = self.settings(clean)?;
        let count = |batches: &[Tensor<4>]| batches.iter().map(|batch| batch.dims()[0]).sum();
        let mut findings = Findings {
            teacher: teacher.to_owned(),
            device: device.name().to_owned(),
            settings,
            fit,
            fit_images: count(images.fit),
            measured_images: count(images.measure),
            cases: Vec::new(),
        };
        let work = Work { experiment: self, clean, images, settings, fit: findings.fit.clone() };
        if let Some(GivenTeacher { planted, adapters }) = given {
            let case = work.case(&planted, adapters, report)?;
            report(Event::Case(&case));
            findings.cases.push(case);
            return Ok(findings);
        }
        for &strength in &self.strengths {
            for &placement in &self.placements {
                let case = work.plant(placement, strength, report)?;
                report(Event::Case(&case));
                findings.cases.push(case);
            }
        }
        Ok(findings)
    }

    fn settings(&self, clean: &Vit) -> Result<(Settings, FitSettings)> {
        let depth = clean.depth();
        let settings = Settings {
            block: self.block.unwrap_or(depth * 17 / 24),
            quantile: self.quantile,
            rank: self.rank.min(clean.embed_dim()),
        };
        settings.check(depth)?;
        let last = settings.block + 1 == depth;
        let fit = FitSettings {
            singer: SingerSettings {
                layers: if last { Vec::new() } else { vec![settings.block] },
                rank: settings.rank,
                quantile: settings.quantile,
                weights: LossWeights {
                    outlier: self.outlier_weight,
                    info: self.info_weight,
                    ..LossWeights::default()
                },
                ..SingerSettings::default()
            },
            steps: self.fit_steps,
            lr: self.lr,
            seed: self.seed,
            ..FitSettings::default()
        };
        fit.singer.resolve_layers(depth)?;
        Ok((settings, fit))
    }
}

/// What all cases share.
struct Work<'a> {
    experiment: &'a Experiment,
    clean: &'a Vit,
    images: Images<'a>,
    settings: Settings,
    fit: FitSettings,
}

impl Work<'_> {
    fn plant(
        &self,
        placement: Placement,
        strength: f64,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Case> {
        let settings = PlantSettings {
            block: self.settings.block,
            strength,
            share: self.experiment.share,
            placement,
            rank: self.settings.rank,
            seed: self.experiment.seed,
        };
        let (teacher, planted) = plant(self.clean.clone(), self.images.fit, &settings)?;
        let case = self.case(&teacher, None, report)?;
        let (placement, planted) = (Some(placement), Some(planted));
        Ok(Case { placement, strength: Some(strength), planted, ..case })
    }

    /// With given adapters, or fitted ones.
    fn case(
        &self,
        teacher: &Vit,
        adapters: Option<Adapters>,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Case> {
        let (adapters, fit) = match adapters {
            Some(adapters) => (adapters, None),
            None => {
                let shards = Shards::new(self.experiment.threads)?;
                let (batches, settings) = (self.images.fit.to_vec(), self.fit.clone());
                let mut fit = AdapterFit::new(teacher, batches, settings, shards)?;
                let mut losses = [f32::NAN; 2];
                fit.run(&mut |step| {
                    losses = [step.outlier, step.information];
                    report(Event::Fit(step));
                })?;
                (fit.adapters(), Some(losses))
            }
        };
        let recoveries =
            measure(self.clean, teacher, &adapters, self.images.measure, &self.settings)?;
        Ok(Case { placement: None, strength: None, planted: None, fit, recoveries })
    }
}
