use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use singer::data::{ImageSet, LoaderSettings, Normalise, Scenes, Transform};
use singer::distill::Distillation;
use singer::distill::singer::{AdapterFit, FitSettings};
use singer::train::ranks::{Link, on_threads};
use singer::train::{Feed, Ranks, Schedule, Shards, TrainSettings, train};
use singer::vit::{VitConfig, init_weights};
use singer::{Error, Result};

use crate::methods::singer;
use crate::normal;

/// A rank whose sums come out changed: `change` has its own values, the sums and the number of
/// ranks.
#[derive(Debug)]
struct Changed {
    ranks: Ranks,
    change: fn(&[f32], &mut [f32], usize),
}

impl Link for Changed {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }

    fn count(&self) -> usize {
        self.ranks.count()
    }

    fn machine(&self) -> String {
        String::new()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<u8>> {
        Ok(self.ranks.gather(own)?.concat())
    }

    fn sum(&self, values: &mut [f32]) -> Result<()> {
        let own = values.to_vec();
        self.ranks.sum(values)?;
        (self.change)(&own, values, self.ranks.count());
        Ok(())
    }

    fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
        let first = self.ranks.from_first(|| Ok(bytes.to_vec()))?;
        bytes.copy_from_slice(&first);
        Ok(())
    }
}

fn nothing(_own: &[f32], _sums: &mut [f32], _ranks: usize) {}

/// As where each rank's mean over its own outliers counted alike. The counts are few, the
/// gradients many.
fn means_of_ranks(own: &[f32], sums: &mut [f32], ranks: usize) {
    if sums.len() < 8 {
        sums.iter_mut().zip(own).for_each(|(sum, own)| *sum = own * ranks as f32);
    }
}

/// As a network that turns a bit, here the sign of a gradient.
fn one_bit(_own: &[f32], sums: &mut [f32], _ranks: usize) {
    if sums.len() >= 8 {
        let changed = sums.iter_mut().find(|sum| sum.abs() > 1e-3);
        changed.into_iter().for_each(|sum| *sum = -*sum);
    }
}

#[derive(Default)]
struct Values(Vec<f32>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.extend(param.val().inner().into_data().iter::<f32>());
    }
}

/// Three steps of SiNGER on batches of 7 images: the lines of the metrics, and the parameters
/// after it.
fn trained(ranks: &Ranks, shards: usize, out: &Path) -> Result<(String, Vec<f32>)> {
    let (method, model) = singer();
    let device = Device::flex().autodiff();
    let settings = TrainSettings::new(out, 3).with(|s| {
        s.schedule = Schedule::Constant {};
        s.log_every = 1;
        s.clip = Some(0.5);
        s.loader = LoaderSettings { batch: 7, seed: 9, workers: 1, ..LoaderSettings::default() };
        s.shards = shards;
        s.ranks = ranks.clone();
    });
    let feed = Feed {
        images: ImageSet::new(Scenes::new(3, 0..24, 16)).into(),
        transform: Transform::Stretch([16, 16]),
        normalise: Normalise { mean: [0.5; 3], std: [0.5; 3] },
    };
    let task = Distillation::new(method);
    let never = AtomicBool::new(false);
    let (model, _) = train(&task, model, &device, feed, &settings, &never, &mut |_| {})?;
    let mut values = Values::default();
    model.visit(&mut values);
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
    Ok((metrics, values.0))
}

/// The same on three ranks, of which those from `from` on have changed sums.
fn on_ranks(from: usize, change: fn(&[f32], &mut [f32], usize)) -> Result<(String, Vec<f32>)> {
    let folder = tempfile::tempdir().unwrap();
    let run = |ranks: Ranks| {
        let change = if ranks.rank() < from { nothing } else { change };
        trained(&Ranks::new(Changed { ranks, change })?, 1, folder.path())
    };
    on_threads(3, run, |ranks| run(ranks).map(|_| ()))
}

#[test]
fn ranks_add_up_counts_and_not_their_own_means() {
    let folder = tempfile::tempdir().unwrap();
    let threads = trained(&Ranks::default(), 3, folder.path()).unwrap();
    assert!(threads.0.lines().count() == 3 && threads.0.contains("outlier"));
    assert!(on_ranks(3, nothing).unwrap() == threads);
    // What averaging over ranks would do shows in the first step's loss already.
    let averaged = on_ranks(0, means_of_ranks).unwrap().0;
    let first = |lines: &str| lines.lines().next().map(str::to_owned);
    assert_ne!(first(&averaged), first(&threads.0));
}

#[test]
fn a_rank_with_other_parameters_ends_the_run_and_is_named() {
    let error = on_ranks(2, one_bit).unwrap_err();
    assert!(matches!(error, Error::RanksDrifted { rank: 2, step: 1 }), "{error:?}");
}

#[test]
fn a_fit_on_ranks_has_the_bits_of_as_many_threads() {
    let shape = VitConfig {
        img_size: [16, 16],
        patch_size: 4,
        embed_dim: 16,
        depth: 3,
        num_heads: 2,
        num_classes: 0,
        ..VitConfig::default()
    };
    let settings = FitSettings::default().with(|s| {
        s.singer.layers = vec![1];
        s.singer.rank = 4;
        s.steps = 5;
    });
    // A batch that the ranks do not divide, and one with fewer images than ranks.
    let fit = |ranks: &Ranks, shards: usize| {
        let teacher = init_weights(shape.build(&Device::flex()).unwrap(), 1);
        let batches = vec![normal([7, 3, 16, 16], 1.0, 5), normal([2, 3, 16, 16], 1.0, 6)];
        let shards = Shards::on_own_threads(shards)?;
        let mut fit = AdapterFit::new(&teacher, batches, settings.clone(), shards)?;
        let mut steps = Vec::new();
        fit.run_on(ranks, &mut |step| steps.push(step))?;
        let file = tempfile::NamedTempFile::new().unwrap();
        fit.adapters().save(file.path())?;
        Ok::<_, Error>((steps, fs::read(file.path()).unwrap()))
    };
    let threads = fit(&Ranks::default(), 3).unwrap();
    let ranks = on_threads(3, |ranks| fit(&ranks, 1), |ranks| fit(&ranks, 1).map(|_| ()));
    assert!(ranks.unwrap() == threads);
    let drifted = |ranks: Ranks| {
        let change = if ranks.rank() == 1 { one_bit } else { nothing };
        fit(&Ranks::new(Changed { ranks, change })?, 1)
    };
    let error = on_threads(2, drifted, |ranks| drifted(ranks).map(|_| ())).unwrap_err();
    assert!(matches!(error, Error::RanksDrifted { rank: 1, step: 5 }), "{error:?}");
}
