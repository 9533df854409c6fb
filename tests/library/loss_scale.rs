use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use singer::Error;
use singer::data::{ImageSet, LoaderSettings, Normalise, Scenes, TrainTransform, Transform};
use singer::train::{
    Feed, Loss, LossScaleSettings, Outcome, Record, Schedule, Shard, Task, Term, TrainSettings,
    train,
};

#[derive(Module, Debug)]
struct Weights {
    w: Param<Tensor<1>>,
}

/// A gradient of `slope` for each weight, computed in half precision: it overflows where the
/// scale makes it larger than 65,504.
struct HalfSlope {
    slope: f64,
}

impl Task for HalfSlope {
    type Model = Weights;

    fn loss(&self, model: &Weights, _shard: Shard<'_>) -> Loss {
        let half = model.w.val().cast(FloatDType::F16) * self.slope;
        Loss::of(Term::mean("slope", 1.0, half.cast(FloatDType::F32).sum()))
    }
}

fn start() -> Weights {
    let device = Device::flex().autodiff();
    Weights { w: Param::from_tensor(Tensor::from_floats([0.5, -0.25, 1.0], &device)) }
}

fn values(model: &Weights) -> Vec<f32> {
    model.w.val().inner().into_data().iter::<f32>().collect()
}

fn settings(out: &Path, steps: usize) -> TrainSettings {
    TrainSettings::new(out, steps).with(|s| {
        s.schedule = Schedule::Constant {};
        s.log_every = 1;
        s.loader = LoaderSettings { batch: 2, workers: 1, ..LoaderSettings::default() };
    })
}

fn run(
    slope: f64,
    settings: &TrainSettings,
    stop_after: usize,
) -> singer::Result<(Weights, Outcome)> {
    let images = ImageSet::new(Scenes::new(3, 0..4, 8));
    let size = [8, 8];
    let crop = TrainTransform { size, scale: [0.5, 1.0], ratio: [0.9, 1.1], flip: 0.5 };
    let normalise = Normalise { mean: [0.5; 3], std: [0.5; 3] };
    let feed = Feed { images: images.into(), transform: Transform::Train(crop), normalise };
    let stop = AtomicBool::new(false);
    let report = &mut |progress: singer::train::Progress<'_>| {
        if progress.record.step + 1 >= stop_after {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let device = Device::flex().autodiff();
    train(&HalfSlope { slope }, start(), &device, feed, settings, &stop, report)
}

fn records(out: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn steps_that_overflow_are_left_out_and_the_others_are_those_of_an_unscaled_run() {
    let folder = tempfile::tempdir().unwrap();
    let (half, plain) = (folder.path().join("half"), folder.path().join("plain"));
    for out in [&half, &plain] {
        std::fs::create_dir(out).unwrap();
    }
    for clip in [None, Some(0.1)] {
        let scaled = settings(&half, 7).with(|s| {
            s.clip = clip;
            s.loss_scale = Some(LossScaleSettings::default());
        });
        // 8 times 8,192 is beyond half precision, 8 times 4,096 is not.
        let (model, _) = run(8.0, &scaled, usize::MAX).unwrap();
        let seen: Vec<[f32; 2]> = records(&half)
            .iter()
            .map(|record| ["loss_scale", "skipped_steps"].map(|name| record.terms[name]))
            .collect();
        let scales = [65536.0, 32768.0, 16384.0, 8192.0, 4096.0, 4096.0, 4096.0];
        let skipped = [1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0];
        let wanted: Vec<[f32; 2]> = scales.into_iter().zip(skipped).map(|(a, b)| [a, b]).collect();
        assert_eq!(seen, wanted);

        let three = settings(&plain, 3).with(|s| s.clip = clip);
        let (unscaled, _) = run(8.0, &three, usize::MAX).unwrap();
        assert_ne!(values(&unscaled), values(&start()));
        for (half, plain) in values(&model).iter().zip(values(&unscaled)) {
            // Without clipping powers of two are the only difference.
            let tolerance = if clip.is_none() { 0.0 } else { 1e-7 };
            assert!((half - plain).abs() <= tolerance, "{half} for {plain}, clip {clip:?}");
        }
        assert!(records(&plain).iter().all(|record| !record.terms.contains_key("loss_scale")));
    }
}

#[test]
fn a_run_goes_on_with_the_scale_and_the_counters_that_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let scaled = |out: &Path| {
        std::fs::create_dir_all(out).unwrap();
        let rule = LossScaleSettings::default().with(|s| s.growth_every = 3);
        settings(out, 12).with(|s| {
            s.resume = true;
            s.loss_scale = Some(rule);
        })
    };
    let (wanted, _) = run(8.0, &scaled(&whole), usize::MAX).unwrap();
    let mut stop_after = 2;
    let model = loop {
        let (model, outcome) = run(8.0, &scaled(&broken), stop_after).unwrap();
        match outcome {
            Outcome::Finished { .. } => break model,
            Outcome::Interrupted { step, .. } => stop_after = step + 3,
        }
    };
    assert!(stop_after > 4, "it was interrupted");
    assert_eq!(values(&model), values(&wanted));
    assert_eq!(records(&broken), records(&whole));
    let scales =
        records(&whole).iter().map(|record| record.terms["loss_scale"]).fold(0.0, f32::max);
    assert_eq!(scales, 65536.0);
    assert!(records(&whole).last().unwrap().terms["skipped_steps"] > 4.0, "it grew again too far");
}

#[test]
fn a_loss_beyond_half_precision_is_an_error_whatever_the_scale() {
    let folder = tempfile::tempdir().unwrap();
    let scaled = settings(folder.path(), 100).with(|s| {
        s.loss_scale = Some(LossScaleSettings::default());
        s.log_every = 100;
    });
    // The loss itself is infinite.
    match run(1e6, &scaled, usize::MAX) {
        Err(Error::NotFinite { term, .. }) => assert_eq!(term, "slope loss"),
        other => panic!("{other:?}"),
    }
}
