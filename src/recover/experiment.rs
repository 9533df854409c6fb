use std::collections::BTreeMap;

use burn::tensor::Tensor;
use serde::Serialize;

use super::{Recovery, Settings, Teachers, Treatment, Treatments, measure};
use crate::data::Normalise;
use crate::device::Device;
use crate::distill::singer::{AdapterFit, FitSettings, FitStep, LossWeights, SingerSettings};
use crate::error::{Error, Result};
use crate::plant::{Kind, Placement, PlantSettings, Planted, plant};
use crate::refine::nullspace::BasisKind;
use crate::refine::{
    Adapters, Averaged, AveragedSettings, ClosedSettings, FoundArtifacts, NeighbourSettings,
    Neighbours, Refiner, RegisterSettings, Registers, closed_form,
};
use crate::train::Shards;
use crate::vit::Vit;

/// Plants artifacts into a clean teacher, treats it and measures how much of the clean
/// features comes back; [`Experiment::run`] does it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Experiment {
    /// The block into which artifacts are planted; none for one at 17/24 of the depth.
    pub block: Option<usize>,
    /// What is planted.
    pub kinds: Vec<Kind>,
    /// Where planted vectors point.
    pub placements: Vec<Placement>,
    /// Norms of planted vectors over the median patch norm.
    pub strengths: Vec<f64>,
    /// Share of patches that get one, 0 to 1.
    pub share: f64,
    /// Share of the images whose class token gets one, for the kind that plants there.
    pub class_share: f64,
    /// Whether the clean teacher is treated too, as the first case.
    pub clean: bool,
    /// What is done to the features.
    pub treatments: Vec<Treatment>,
    /// Rank of adapters and bases; at most the teacher's width is used.
    pub rank: usize,
    /// Kind of the bases, from which adapters start and which training-free refinement removes.
    pub basis: BasisKind,
    /// γ: a norm above this quantile of its image's is an outlier.
    pub quantile: f64,
    /// How the closed form finds artifacts.
    pub closed: ClosedSettings,
    /// Steps of the adapters' fit.
    pub fit_steps: usize,
    /// Highest learning rate of the fit.
    pub lr: f64,
    /// λ of the outlier loss.
    pub outlier_weight: f64,
    /// λ of the information loss.
    pub info_weight: f64,
    /// The first seed of planted directions; also that of the fit.
    pub seed: u64,
    /// Seeds in all: each plants anew.
    pub seeds: usize,
    /// CPU threads that share a batch; 1 on a GPU.
    pub threads: usize,
}

impl Default for Experiment {
    fn default() -> Self {
        Self {
            block: None,
            kinds: vec![Kind::Single],
            placements: vec![Placement::Inside, Placement::Mixed, Placement::Outside],
            strengths: vec![3.0, 6.0],
            share: 0.03,
            class_share: 0.3,
            clean: true,
            treatments: Treatment::ALL.into(),
            rank: 64,
            basis: BasisKind::default(),
            quantile: 0.97,
            closed: ClosedSettings::default(),
            fit_steps: 300,
            lr: 1e-2,
            outlier_weight: 0.01,
            info_weight: 1.0,
            seed: 0,
            seeds: 1,
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
    /// How they were normalised.
    pub normalise: Normalise,
}

/// A teacher that has artifacts already.
#[derive(Debug)]
pub struct GivenTeacher {
    /// The clean teacher with artifacts.
    pub planted: Vit,
    /// Its adapters by layer; none to fit new ones.
    pub adapters: Option<Adapters>,
}

/// The teacher of a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "teacher", rename_all = "kebab-case")]
pub enum Subject {
    /// The clean one.
    Clean,
    /// One that was given.
    Given,
    /// One with artifacts.
    Planted {
        /// What was planted.
        kind: Kind,
        /// Where the vector points.
        placement: Placement,
        /// Its norm over the median patch norm.
        strength: f64,
        /// The seed of the directions.
        seed: u64,
        /// What came of it.
        planted: Planted,
    },
}

impl Subject {
    /// `nothing planted`, `given teacher`, or `single, inside, 3x`.
    pub fn name(&self) -> String {
        match self {
            Self::Clean => "nothing planted".into(),
            Self::Given => "given teacher".into(),
            Self::Planted { kind, placement, strength, .. } => {
                format!("{}, {}, {strength}x", kind.name(), placement.name())
            }
        }
    }
}

/// One teacher, and how much of its clean features comes back.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// The teacher.
    #[serde(flatten)]
    pub subject: Subject,
    /// The last outlier, information and identity loss of each fit, weighted.
    pub fits: BTreeMap<Treatment, [f32; 3]>,
    /// The artifacts that the closed form found.
    pub found: Vec<FoundArtifacts>,
    /// By layer, block and treatment.
    pub recoveries: Vec<Recovery>,
}

impl Case {
    /// That of its teacher.
    pub fn name(&self) -> String {
        self.subject.name()
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
    /// One a teacher.
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
    /// Measures every kind, strength, placement and seed, or the `given` teacher alone.
    /// `teacher` is the clean one's name; all models are on `device`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a block the teacher lacks, a
    /// quantile outside 0 to 1, and nothing to plant or treat; those of
    /// [`plant`](crate::plant), of the fit and of [`measure`].
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
        let work = Work { experiment: self, images, settings, fit: findings.fit.clone() };
        if let Some(GivenTeacher { planted, adapters }) = given {
            let blocks = [settings.block];
            let teachers = Teachers { clean, planted: &planted, blocks: &blocks };
            findings.cases.push(work.case(Subject::Given, teachers, adapters, report)?);
            return Ok(findings);
        }
        if self.clean {
            let teachers = Teachers { clean, planted: clean, blocks: &[] };
            findings.cases.push(work.case(Subject::Clean, teachers, None, report)?);
        }
        for settings in self.plants(settings) {
            findings.cases.push(work.plant(clean, settings, report)?);
        }
        Ok(findings)
    }

    /// What is planted, in the order of the cases.
    fn plants(&self, settings: Settings) -> Vec<PlantSettings> {
        let mut plants = Vec::new();
        for &kind in &self.kinds {
            for &strength in &self.strengths {
                for &placement in &self.placements {
                    let plant = PlantSettings::default().with(|s| {
                        (s.block, s.kind, s.strength) = (settings.block, kind, strength);
                        (s.placement, s.rank) = (placement, settings.rank);
                        (s.share, s.class_share) = (self.share, self.class_share);
                    });
                    let seeds = (0..self.seeds as u64).map(|seed| self.seed.wrapping_add(seed));
                    plants.extend(seeds.map(|seed| PlantSettings { seed, ..plant }));
                }
            }
        }
        plants
    }

    fn settings(&self, clean: &Vit) -> Result<(Settings, FitSettings)> {
        let depth = clean.depth();
        let settings = Settings {
            block: self.block.unwrap_or(depth * 17 / 24),
            quantile: self.quantile,
            rank: self.rank.min(clean.embed_dim()),
            basis: self.basis,
        };
        settings.check(depth)?;
        if self.seeds == 0 {
            return Err(Error::setting("seeds", self.seeds, "it must be above 0"));
        }
        let last = settings.block + 1 == depth;
        let fit = FitSettings {
            singer: SingerSettings {
                layers: if last { Vec::new() } else { vec![settings.block] },
                rank: settings.rank,
                basis: settings.basis,
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
    images: Images<'a>,
    settings: Settings,
    fit: FitSettings,
}

impl Work<'_> {
    fn plant(
        &self,
        clean: &Vit,
        settings: PlantSettings,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Case> {
        let (teacher, planted) = plant(clean.clone(), self.images.fit, &settings)?;
        let truth = planted.silence(clean.clone());
        let blocks = settings.kind.blocks(settings.block);
        let teachers = Teachers { clean: &truth, planted: &teacher, blocks: &blocks };
        let PlantSettings { kind, placement, strength, seed, .. } = settings;
        let subject = Subject::Planted { kind, placement, strength, seed, planted };
        self.case(subject, teachers, None, report)
    }

    /// With given adapters, or fitted ones.
    fn case(
        &self,
        subject: Subject,
        teachers: Teachers<'_>,
        given: Option<Adapters>,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<Case> {
        let asked = |treatment: &Treatment| self.experiment.treatments.contains(treatment);
        let plain = Treatment::ALL.into_iter().filter(asked).collect();
        let mut treatments = Treatments { plain, ..Treatments::default() };
        let (mut fits, mut found) = (BTreeMap::new(), Vec::new());
        if let Some(adapters) = given {
            treatments.adapters.push((Treatment::Published, adapters));
        } else {
            let kinds = [Treatment::Published, Treatment::Trained];
            for treatment in kinds.into_iter().filter(asked) {
                let (adapters, losses) = self.fit(teachers.planted, treatment, report)?;
                treatments.adapters.push((treatment, adapters));
                fits.insert(treatment, losses);
            }
        }
        let (planted, images) = (teachers.planted, self.images.fit);
        for treatment in Treatment::ALL.into_iter().filter(asked) {
            let refiner = match treatment {
                Treatment::ClosedForm => {
                    let settings = &self.experiment.closed;
                    let closed = closed_form(planted, images, settings, &mut |_, _| {})?;
                    found = closed.blocks;
                    Refiner::ClosedForm(closed.adapters)
                }
                Treatment::Neighbours => {
                    let settings = NeighbourSettings::default();
                    Refiner::Neighbours(Neighbours::new(planted, &settings)?)
                }
                Treatment::Registers => {
                    let settings = RegisterSettings::default();
                    Refiner::Registers(Registers::find(planted, images, &settings)?)
                }
                Treatment::Averaged => {
                    let settings = AveragedSettings::default();
                    Refiner::Averaged(Averaged::new(&settings, self.images.normalise)?)
                }
                _ => continue,
            };
            treatments.whole.push((treatment, refiner));
        }
        let recoveries = measure(teachers, &treatments, self.images.measure, &self.settings)?;
        let case = Case { subject, fits, found, recoveries };
        report(Event::Case(&case));
        Ok(case)
    }

    /// Adapters of a treatment, and the last values of their losses.
    fn fit(
        &self,
        teacher: &Vit,
        treatment: Treatment,
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<(Adapters, [f32; 3])> {
        let shards = Shards::new(self.experiment.threads)?;
        let (batches, mut settings) = (self.images.fit.to_vec(), self.fit.clone());
        if treatment == Treatment::Trained {
            settings.singer = settings.singer.robust();
        }
        let mut fit = AdapterFit::new(teacher, batches, settings, shards)?;
        let mut losses = [f32::NAN; 3];
        fit.run(&mut |step| {
            losses = [step.outlier, step.information, step.identity];
            report(Event::Fit(step));
        })?;
        Ok((fit.adapters(), losses))
    }
}
