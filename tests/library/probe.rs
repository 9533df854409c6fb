use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use singer::data::{
    CropMode, DenseSet, EvalTransform, Framing, ImageSet, ImageSource, Interpolation, LabelMap,
    Normalise, Preprocess, Scenes, SegmentationSet, Truth, VOID, eval_crop,
};
use singer::probe::features::{FeaturePrecision, FeatureSettings, ModelKey, View, features};
use singer::probe::metrics::{Confusion, DepthErrors, TopK};
use singer::probe::{
    ClassTask, DepthBins, EvalSettings, FeatureRows, FeatureStore, HeadFitSettings,
    LabelledFeatures, Lift, LinearHead, LossAt, MemoryRows, Resample, SegmentTask, Token,
    TokenRows, class_map, cross_entropy, evaluate, fit_head, knn_accuracy, score_classes,
    score_segments, sweep,
};
use singer::train::OptimizerSettings;
use singer::vit::{Pooling, Vit, VitConfig, init_weights};
use singer::weights::NamedTensors;

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn sgd(epochs: usize, lr: f64) -> HeadFitSettings {
    let mut settings = HeadFitSettings::default();
    settings.epochs = epochs;
    settings.batch = 16;
    settings.optimizer = OptimizerSettings::Sgd { lr, momentum: 0.0, weight_decay: 0.0 };
    settings.seed = 3;
    settings
}

/// Rows around four corners, which a linear head can tell apart.
fn corners(count: usize, seed: u64) -> (MemoryRows, Vec<usize>) {
    let labels: Vec<usize> = (0..count).map(|index| index % 4).collect();
    let noise = random(2 * count, seed);
    let corner = |label: usize| [[2.0, 2.0], [2.0, -2.0], [-2.0, 2.0], [-2.0, -2.0]][label];
    let values = labels
        .iter()
        .zip(noise.chunks(2))
        .flat_map(|(&label, noise)| [corner(label)[0] + noise[0], corner(label)[1] + noise[1]])
        .collect();
    (MemoryRows { values, rows: 1, dim: 2 }, labels)
}

#[test]
fn a_separable_set_is_learnt_without_an_error_and_a_seed_repeats() {
    let device = Device::flex();
    let (rows, labels) = corners(101, 1);
    let (other, other_labels) = corners(60, 2);
    let task = ClassTask { classes: 4, labels: labels.clone() };
    let all: Vec<usize> = (0..rows.len()).collect();
    let train = |settings: &HeadFitSettings| {
        let mut steps = 0;
        let head = fit_head(&rows, &all, &task, settings, &device, &mut |progress| {
            steps += 1;
            assert_eq!((progress.step, progress.steps), (steps, 7 * 20));
        });
        head.unwrap()
    };
    let head = train(&sgd(20, 0.5));
    let test: Vec<usize> = (0..60).collect();
    let standing = score_classes(&head, &other, &other_labels, &test, None).unwrap();
    assert_eq!((standing.top1, standing.top5, standing.images), (1.0, 1.0, 60));
    let bank = LabelledFeatures::from_rows(&rows, &labels);
    let queries = LabelledFeatures::from_rows(&other, &other_labels);
    let neighbours = knn_accuracy(&bank, &queries, &device).unwrap();
    assert_eq!(neighbours, 1.0);

    let bytes = |head: &LinearHead| head.weight.clone().into_data().as_bytes().to_vec();
    assert_eq!(bytes(&head), bytes(&train(&sgd(20, 0.5))));
    let mut other = sgd(20, 0.5);
    other.seed = 4;
    assert_ne!(bytes(&head), bytes(&train(&other)));
}

#[test]
fn the_sweep_takes_the_rate_that_does_best_on_held_out_images() {
    let (rows, labels) = corners(200, 5);
    let task = ClassTask { classes: 4, labels };
    let rates = [1e-9, 0.5, f64::MAX];
    let (best, all) =
        sweep(&rows, &task, &sgd(3, 1.0), &rates, &Device::flex(), &mut |_| {}).unwrap();
    assert_eq!(best, 0.5, "{all:?}");
    assert_eq!(all.len(), 3);
    let few = MemoryRows { values: vec![0.0; 8], rows: 1, dim: 2 };
    assert!(sweep(&few, &task, &sgd(3, 1.0), &rates, &Device::flex(), &mut |_| {}).is_err());
}

#[test]
fn settings_that_cannot_work_and_a_loss_that_explodes_are_errors() {
    let (rows, labels) = corners(20, 1);
    let task = ClassTask { classes: 4, labels };
    let all: Vec<usize> = (0..20).collect();
    let run = |settings: &HeadFitSettings, indices: &[usize], rows: &MemoryRows| {
        let head = fit_head(rows, indices, &task, settings, &Device::flex(), &mut |_| {});
        head.map(|_| ()).unwrap_err().to_string()
    };
    assert!(run(&sgd(0, 0.5), &all, &rows).contains("fit.epochs is 0"));
    assert!(run(&sgd(2, -1.0), &all, &rows).contains("fit.optimizer.lr is -1"));
    assert!(run(&sgd(2, 0.5), &[], &rows).contains("no images"));
    let infinite = MemoryRows { values: vec![f32::INFINITY; 40], rows: 1, dim: 2 };
    assert!(run(&sgd(2, 0.5), &all, &infinite).contains("loss is NaN in step 1"));
}

#[test]
fn classes_are_mapped_by_name_or_else_by_number() {
    let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let head = names(&["ape", "bee", "cat", "dog"]);
    assert_eq!(class_map(&head, &names(&["dog", "bee"])).unwrap(), [3, 1]);
    assert_eq!(class_map(&head, &names(&["0", "1", "3"])).unwrap(), [0, 1, 3]);
    for strange in [&["dog", "elk"][..], &["0", "4"], &["elk"]] {
        let error = class_map(&head, &names(strange)).unwrap_err().to_string();
        assert!(error.contains(strange.last().unwrap()), "{error}");
    }
}

#[test]
fn of_a_subset_only_its_own_classes_are_compared() {
    let device = Device::flex();
    // The head always prefers class 0, then 1, and so on.
    let head = LinearHead {
        weight: Tensor::zeros([8, 2], &device),
        bias: Tensor::from_data(
            TensorData::from([7.0f32, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]),
            &device,
        ),
    };
    let rows = MemoryRows { values: vec![0.0; 4], rows: 1, dim: 2 };
    let score = |among| score_classes(&head, &rows, &[2, 5], &[0, 1], among).unwrap();
    assert_eq!((score(None).top1, score(None).top5), (0.0, 0.5));
    let among = score(Some(&[2, 5, 7]));
    assert_eq!((among.top1, among.top5), (0.5, 1.0));
}

#[test]
fn cross_entropy_is_what_finite_differences_say() {
    let logits = random(12, 8);
    let targets = [Some(2), None, Some(0)];
    let loss = |logits: &[f32]| cross_entropy(&mut logits.to_vec(), 4, targets).0;
    let mut gradient = logits.clone();
    let (_, count) = cross_entropy(&mut gradient, 4, targets);
    assert_eq!(count, 2);
    for (place, slope) in gradient.iter().enumerate() {
        let at = |step: f32| {
            let mut moved = logits.clone();
            moved[place] += step;
            loss(&moved)
        };
        let measured = (at(1e-2) - at(-1e-2)) / 2e-2;
        assert!((measured - f64::from(*slope)).abs() < 1e-4, "{place}: {measured} for {slope}");
    }
}

#[test]
fn carrying_gradients_back_is_the_adjoint_of_resampling() {
    for (from, to) in [([3, 5], [13, 9]), ([1, 1], [4, 4]), ([7, 2], [3, 40])] {
        let fine = from.map(|side| 4 * side);
        let resample = Resample::through(&[from, fine, to]);
        assert_eq!((resample.from(), resample.to()), (from, to));
        let (x, y) = (random(from[0] * from[1] * 3, 1), random(to[0] * to[1] * 3, 2));
        let forward = resample.apply(&x, 3);
        let (mut back, mut between) = (vec![0.0; x.len()], Vec::new());
        for (row, line) in y.chunks(to[1] * 3).enumerate() {
            resample.row_back(&mut back, 3, row, &mut between, line);
        }
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        assert!((dot(&forward, &y) - dot(&x, &back)).abs() < 1e-4, "{from:?} to {to:?}");
        let constant = resample.apply(&vec![2.5; x.len()], 3);
        assert!(constant.iter().all(|value| (value - 2.5).abs() < 1e-5));
    }
}

#[test]
fn scores_do_not_depend_on_the_order_of_pixels_and_are_perfect_for_the_truth() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let truth: Vec<u16> = (0..500)
        .map(|_| if rng.random_bool(0.1) { VOID } else { rng.random_range(0..5) })
        .collect();
    let guess: Vec<u16> = (0..500).map(|_| rng.random_range(0..5)).collect();
    let score = |truth: &[u16], guess: &[u16]| {
        let mut confusion = Confusion::new(7);
        confusion.add(truth, guess);
        confusion.scores()
    };
    let plain = score(&truth, &guess);
    let backwards = |values: &[u16]| values.iter().rev().copied().collect::<Vec<_>>();
    assert_eq!(plain, score(&backwards(&truth), &backwards(&guess)));
    let mut parts = Confusion::new(7);
    for (truth, guess) in truth.chunks(77).zip(guess.chunks(77)) {
        let mut part = Confusion::new(7);
        part.add(truth, guess);
        parts.merge(&part);
    }
    assert_eq!(parts.scores(), plain);
    // Renaming classes moves their scores and leaves the means.
    let renamed = |values: &[u16]| {
        values.iter().map(|&v| if v == VOID { v } else { 6 - v }).collect::<Vec<_>>()
    };
    let other = score(&renamed(&truth), &renamed(&guess));
    assert!((other.miou - plain.miou).abs() < 1e-12);
    assert_eq!(other.class_iou[6], plain.class_iou[0]);

    let own: Vec<u16> = truth.iter().map(|&label| if label == VOID { 3 } else { label }).collect();
    let perfect = score(&truth, &own);
    assert_eq!((perfect.miou, perfect.pixel_accuracy, perfect.mean_accuracy), (1.0, 1.0, 1.0));
    assert_eq!(perfect.class_iou[5], None, "a class that is nowhere has no score");
    assert_eq!(score(&[VOID], &[0]).miou, 0.0);
}

#[test]
fn depth_errors_scale_with_depth_and_unknown_depths_do_not_count() {
    let truth: Vec<f32> = random(200, 3).iter().map(|v| 3.0 + 2.0 * v).collect();
    let guess: Vec<f32> =
        truth.iter().zip(random(200, 4)).map(|(t, v)| t * (1.0 + 0.4 * v)).collect();
    let score = |truth: &[f32], guess: &[f32], limit: f32| {
        let mut errors = DepthErrors::default();
        errors.add(truth, guess, limit);
        errors.scores()
    };
    let doubled = |values: &[f32]| values.iter().map(|v| 2.0 * v).collect::<Vec<_>>();
    let plain = score(&truth, &guess, 10.0).unwrap();
    let twice = score(&doubled(&truth), &doubled(&guess), 20.0).unwrap();
    assert!((twice.rmse - 2.0 * plain.rmse).abs() < 1e-6 && (twice.rel - plain.rel).abs() < 1e-9);
    assert_eq!(twice.delta, plain.delta);
    let mut padded = (truth.clone(), guess.clone());
    for unknown in [0.0, -1.0, 10.0, 70.0, f32::NAN, f32::INFINITY] {
        padded.0.push(unknown);
        padded.1.push(5.0);
    }
    assert_eq!(score(&padded.0, &padded.1, 10.0), Some(plain));
    let perfect = score(&truth, &truth, 10.0).unwrap();
    assert_eq!((perfect.rmse, perfect.delta), (0.0, [1.0; 3]));
    assert_eq!(score(&[0.0], &[1.0], 10.0), None);
}

#[test]
fn a_score_that_is_no_number_is_never_right() {
    let mut counts = TopK::default();
    counts.add(&[f32::NAN, f32::NAN], 0);
    counts.add(&[1.0, f32::NAN], 1);
    assert_eq!((counts.top1(), counts.top5(), counts.total()), (0.0, 0.0, 2));
    assert_eq!(TopK::default().top1(), 0.0);
}

#[test]
fn depths_fall_into_bins_and_come_back_from_their_middles() {
    let bins = DepthBins::default();
    bins.check().unwrap();
    for (depth, bin) in [(0.001, Some(0)), (5.0, Some(128)), (9.9999, Some(255))] {
        assert_eq!(bins.bin(depth), bin, "{depth}");
    }
    for unknown in [0.0, -2.0, 10.0, f32::NAN] {
        assert_eq!(bins.bin(unknown), None);
    }
    let mut logits = vec![0.0; 256];
    assert!((bins.expectation(&mut logits.clone()) - 5.0).abs() < 1e-4, "even bins: the middle");
    logits[200] = 3.0;
    assert!((bins.expectation(&mut logits) - 200.5 * 10.0 / 256.0).abs() < 1e-4);
    assert!(DepthBins { count: 1, ..bins }.check().is_err());
    assert!(DepthBins { temperature: 0.0, ..bins }.check().is_err());
}

/// Two halves of every image, left and right, and a strip that does not count.
struct Halves;

impl DenseSet for Halves {
    type Truth = LabelMap;

    fn images(&self) -> ImageSet {
        ImageSet::new(Scenes::new(1, 0..12, 8))
    }

    fn image_size(&self, _index: usize) -> singer::Result<[usize; 2]> {
        Ok([10, 16])
    }

    fn truth_name(&self, index: usize) -> String {
        format!("halves {index}")
    }

    fn truth(&self, index: usize) -> singer::Result<LabelMap> {
        let side = |column: usize| u16::from((column < 8) == index.is_multiple_of(2));
        let label = |place: usize| if place < 32 { VOID } else { side(place % 16) };
        Ok(LabelMap { size: [10, 16], labels: (0..160).map(label).collect() })
    }
}

impl SegmentationSet for Halves {
    fn classes(&self) -> &[String] {
        static NAMES: std::sync::LazyLock<[String; 2]> =
            std::sync::LazyLock::new(|| ["dark".into(), "light".into()]);
        &*NAMES
    }
}

#[test]
fn segments_that_features_tell_apart_are_learnt_at_both_sizes_of_the_loss() {
    assert_eq!(Halves.truth(0).unwrap().size(), [10, 16]);
    // A 2 x 4 grid whose one feature is the class; bilinear edges fall on the border.
    let values = (0..12)
        .flat_map(|image| {
            (0..8).map(move |patch| if (patch % 4 < 2) == (image % 2 == 0) { 1.0 } else { -1.0 })
        })
        .collect();
    let rows = MemoryRows { values, rows: 8, dim: 1 };
    let places: Vec<usize> = (0..12).collect();
    for at in [LossAt::Label, LossAt::Grid] {
        let task = SegmentTask { set: &Halves, places: &places, grid: [2, 4], at };
        let head =
            fit_head(&rows, &places, &task, &sgd(30, 1.0), &Device::flex(), &mut |_| {}).unwrap();
        let scores = score_segments(&head, &rows, &task, &mut |_| {}).unwrap();
        assert_eq!((scores.miou, scores.pixels), (1.0, 12 * 128), "{at:?}");
    }
}

/// Counts how often it is read.
struct Counted {
    scenes: Scenes,
    reads: AtomicUsize,
    size: u64,
}

impl ImageSource for Counted {
    fn len(&self) -> usize {
        self.scenes.len()
    }

    fn classes(&self) -> &[String] {
        self.scenes.classes()
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.scenes.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.scenes.name(index)
    }

    fn file_size(&self, _index: usize) -> singer::Result<Option<u64>> {
        Ok(Some(self.size))
    }

    fn read(&self, index: usize) -> singer::Result<RgbImage> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.scenes.read(index)
    }
}

fn counted(size: u64) -> Arc<Counted> {
    let scenes = Scenes::new(9, 0..11, 16);
    Arc::new(Counted { scenes, reads: AtomicUsize::new(0), size })
}

const NORMALISE: Normalise = Normalise { mean: [0.5; 3], std: [0.25; 3] };

fn settings() -> FeatureSettings {
    FeatureSettings {
        size: [16, 16],
        view: View::Crop,
        preprocess: Preprocess {
            normalise: NORMALISE,
            interpolation: Interpolation::Bicubic,
            framing: Framing::Timm { crop_mode: CropMode::Center, crop_pct: 1.0 },
        },
        final_norm: false,
        lift: None,
        patches: true,
        precision: FeaturePrecision::F32,
        batch: 4,
        workers: 2,
        max_unreadable: 0.01,
    }
}

fn tiny() -> (Vit, VitConfig) {
    let config = VitConfig {
        img_size: [16, 16],
        patch_size: 4,
        embed_dim: 8,
        depth: 2,
        num_heads: 2,
        ..VitConfig::default()
    };
    (init_weights(config.build(&Device::flex()).unwrap(), 5), config)
}

fn compute(
    (model, config): &(Vit, VitConfig),
    images: &Arc<Counted>,
    settings: &FeatureSettings,
    cache: Option<&Path>,
) -> (FeatureStore, bool) {
    let key = ModelKey::new(model, config).unwrap();
    let shared: ImageSet = images.clone().into();
    features((model, config, &key), &shared, settings, cache, &Device::flex(), &mut |_| {}).unwrap()
}

fn all(store: &FeatureStore, name: &str) -> Vec<f32> {
    let mut out = Vec::new();
    (0..store.len()).for_each(|index| store.append(name, index, &mut out));
    out
}

#[test]
fn kept_features_are_those_of_the_model_and_are_computed_once() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny();
    let images = counted(1);
    let (store, computed) = compute(&model, &images, &settings(), Some(folder.path()));
    assert!(computed);
    assert_eq!(images.reads.load(Ordering::Relaxed), 11);
    assert_eq!((store.len(), store.dim()), (11, 8));

    let crop = EvalTransform::centre([16, 16], 16);
    let crop = |index| eval_crop(&images.read(index).unwrap(), &crop).unwrap();
    let pixels = NORMALISE.batch(&(0..11).map(crop).collect::<Vec<_>>(), &Device::flex()).unwrap();
    let tokens = model.0.intermediate(pixels, &[1]).remove(0);
    let patches = tokens.clone().narrow(1, 1, 16);
    let near = |ours: Vec<f32>, wanted: Vec<f32>| {
        assert_eq!(ours.len(), wanted.len());
        assert!(ours.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5));
    };
    let host = |tensor: Tensor<3>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
    near(all(&store, "class"), host(tokens.narrow(1, 0, 1)));
    near(all(&store, "mean"), host(patches.clone().mean_dim(1)));
    near(all(&store, "patches"), host(patches));

    let reads = images.reads.load(Ordering::Relaxed);
    let (again, computed) = compute(&model, &images, &settings(), Some(folder.path()));
    assert!(!computed && images.reads.load(Ordering::Relaxed) == reads);
    assert_eq!(all(&again, "patches"), all(&store, "patches"));
    let both = TokenRows { store: &again, token: Token::Both };
    assert_eq!((both.dim(), both.gather(&[3, 4]).len()), (16, 32));
}

/// Scenes of which two cannot be read.
struct Gappy(Scenes);

impl ImageSource for Gappy {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, index: usize) -> String {
        format!("{index}.jpg")
    }

    fn read(&self, index: usize) -> singer::Result<RgbImage> {
        match index {
            3 | 5 => Err(singer::Error::data(self.name(index), "unreadable image")),
            _ => self.0.read(index),
        }
    }
}

#[test]
fn features_of_readable_images_keep_their_places_where_others_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (model, config) = tiny();
    let key = ModelKey::new(&model, &config).unwrap();
    let compute = |images: ImageSet, settings: &FeatureSettings| {
        let (model, cache) = ((&model, &config, &key), Some(folder.path()));
        features(model, &images, settings, cache, &Device::flex(), &mut |_| {})
    };
    let scenes = || Scenes::new(1, 0..24, 16);
    // Batches of 2: one has no readable image of its own in the first half.
    let settings = FeatureSettings { batch: 2, max_unreadable: 0.1, ..settings() };
    let (whole, _) = compute(ImageSet::new(scenes()), &settings).unwrap();
    let (store, computed) = compute(ImageSet::new(Gappy(scenes())), &settings).unwrap();
    assert!(computed);
    let places: Vec<usize> = (0..24).filter(|index| ![3, 5].contains(index)).collect();
    assert_eq!(store.readable().collect::<Vec<_>>(), places);
    let (found, wanted) = (all(&store, "class"), all(&whole, "class"));
    for (row, &place) in places.iter().enumerate() {
        let (found, wanted) = (&found[row * 8..][..8], &wanted[place * 8..][..8]);
        assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{place}");
    }
    let passed_over = store.passed_over().unwrap().to_string();
    assert!(passed_over.starts_with("2 of 24 images were unreadable"), "{passed_over}");
    assert!(passed_over.contains("3.jpg"), "{passed_over}");
    assert_eq!(whole.passed_over(), None);

    // What is kept says so too, and a smaller share is not served from it.
    let (kept, computed) = compute(ImageSet::new(Gappy(scenes())), &settings).unwrap();
    assert!(!computed);
    assert_eq!(kept.passed_over(), store.passed_over());
    let strict = FeatureSettings { max_unreadable: 0.0, ..settings.clone() };
    let error = compute(ImageSet::new(Gappy(scenes())), &strict).unwrap_err().to_string();
    assert!(error.contains(".jpg"), "{error}");
}

#[test]
fn features_are_computed_anew_for_another_model_setting_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny();
    let cache = Some(folder.path());
    assert!(compute(&model, &counted(1), &settings(), cache).1);
    let other = (init_weights(model.0.clone(), 6), model.1.clone());
    assert!(compute(&other, &counted(1), &settings(), cache).1);
    assert!(compute(&model, &counted(2), &settings(), cache).1, "a file of another size");
    let changed = [
        FeatureSettings { final_norm: true, ..settings() },
        FeatureSettings { size: [8, 12], ..settings() },
        FeatureSettings { view: View::Stretch, ..settings() },
        FeatureSettings { patches: false, ..settings() },
        FeatureSettings { precision: FeaturePrecision::F16, ..settings() },
        FeatureSettings {
            preprocess: Preprocess {
                normalise: Normalise { mean: [0.4; 3], ..NORMALISE },
                ..settings().preprocess
            },
            ..settings()
        },
    ];
    for settings in &changed {
        assert!(compute(&model, &counted(1), settings, cache).1, "{settings:?}");
    }
    assert!(!compute(&model, &counted(1), &settings(), cache).1, "the first are still there");
    let batch = FeatureSettings { batch: 3, workers: 1, ..settings() };
    assert!(!compute(&model, &counted(1), &batch, cache).1, "the batch changes nothing");
}

/// A run's folder with what it trained besides the student of `tiny`, whose blocks 0 and 1
/// learnt from a teacher's 3 and 7: 8 wide to 3. With `class`, class tokens have one apart.
fn run_with_projections(class: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut file = NamedTensors::default();
    let names = ["proj.3", "proj.7", "global.7"];
    for (seed, name) in names.iter().enumerate().take(if class { 3 } else { 2 }) {
        let values = random(27, seed as u64);
        let weight = TensorData::new(values[..24].to_vec(), [3, 8]);
        file.tensors.insert(format!("{name}.weight"), weight);
        file.tensors.insert(format!("{name}.bias"), TensorData::new(values[24..].to_vec(), [3]));
    }
    file.metadata.insert("layers".into(), "[3,7]".into());
    file.metadata.insert("student_layers".into(), "[0,1]".into());
    file.write(&folder.path().join("singer.safetensors")).unwrap();
    folder
}

#[test]
fn lifted_features_are_the_last_blocks_by_the_runs_projection_and_are_kept_apart() {
    let (cache, model) = (tempfile::tempdir().unwrap(), tiny());
    let plain = compute(&model, &counted(1), &settings(), Some(cache.path())).0;
    // Of one projection of its rows, by hand.
    let lifted = |name: &str, seed: u64| -> Vec<f32> {
        let values = random(27, seed);
        let rows = all(&plain, name);
        let of_row = |row: &[f32]| -> Vec<f32> {
            let dot = |w: &[f32]| w.iter().zip(row).map(|(a, b)| a * b).sum::<f32>();
            values[..24].chunks(8).zip(&values[24..]).map(|(w, bias)| dot(w) + bias).collect()
        };
        rows.chunks(8).flat_map(of_row).collect()
    };
    for (class, seed) in [(false, 1), (true, 2)] {
        let run = run_with_projections(class);
        let lift = Lift::of_run(run.path(), &model.0).unwrap().expect("a projection");
        assert_eq!(lift.dim(), 3);
        let settings = FeatureSettings { lift: Some(lift), ..settings() };
        let (store, computed) = compute(&model, &counted(1), &settings, Some(cache.path()));
        assert!(computed && store.dim() == 3, "not those of another projection");
        for (name, seed) in [("class", seed), ("mean", 1), ("patches", 1)] {
            let (found, wanted) = (all(&store, name), lifted(name, seed));
            assert_eq!(found.len(), wanted.len());
            let apart = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "{name} differs by {apart}");
        }
        assert!(!compute(&model, &counted(1), &settings, Some(cache.path())).1, "kept");
    }
    assert!(!compute(&model, &counted(1), &settings(), Some(cache.path())).1, "as before");
}

#[test]
fn a_run_lifts_the_students_last_block_alone_and_a_student_of_its_width() {
    let (vit, config) = tiny();
    let empty = tempfile::tempdir().unwrap();
    assert!(Lift::of_run(empty.path(), &vit).unwrap().is_none());
    let run = run_with_projections(false);
    let deeper = VitConfig { depth: 3, ..config.clone() }.build(&Device::flex()).unwrap();
    assert!(Lift::of_run(run.path(), &deeper).unwrap().is_none(), "none for block 2");
    let wider = VitConfig { embed_dim: 16, ..config }.build(&Device::flex()).unwrap();
    let error = Lift::of_run(run.path(), &wider).unwrap_err().to_string();
    assert!(error.contains("width 8; this model's is 16"), "{error}");
}

#[test]
fn damaged_and_unfinished_features_are_noticed_and_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny();
    let make = || compute(&model, &counted(1), &settings(), Some(folder.path()));
    let wanted = all(&make().0, "patches");
    let inner = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let (index, chunk) = (inner.join("index.json"), inner.join("00000.safetensors"));
    let bytes = std::fs::read(&chunk).unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    type Damage<'a> = Box<dyn Fn() + 'a>;
    let damage: [(&str, Damage<'_>); 6] = [
        ("a bit", Box::new(|| std::fs::write(&chunk, &flipped).unwrap())),
        ("an end", Box::new(|| std::fs::write(&chunk, &bytes[..bytes.len() / 2]).unwrap())),
        ("a chunk", Box::new(|| std::fs::remove_file(&chunk).unwrap())),
        ("the index", Box::new(|| std::fs::remove_file(&index).unwrap())),
        ("its end", Box::new(|| std::fs::write(&index, "{\"key\": ").unwrap())),
        (
            "its list",
            Box::new(|| {
                let text = std::fs::read(&index).unwrap();
                let mut value: serde_json::Value = serde_json::from_slice(&text).unwrap();
                value["chunks"] = serde_json::json!([]);
                std::fs::write(&index, value.to_string()).unwrap();
            }),
        ),
    ];
    for (what, damage) in &damage {
        assert!(!make().1, "whole before {what} is lost");
        damage();
        let (store, computed) = make();
        assert!(computed, "the loss of {what} was not noticed");
        assert_eq!(all(&store, "patches"), wanted);
    }
}

#[test]
fn half_precision_takes_half_the_space_and_features_that_are_not_kept_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny();
    let (full, _) = compute(&model, &counted(1), &settings(), None);
    let half = FeatureSettings { precision: FeaturePrecision::F16, ..settings() };
    let (half, _) = compute(&model, &counted(1), &half, Some(folder.path()));
    let pairs = all(&full, "patches").into_iter().zip(all(&half, "patches"));
    let worst = pairs.map(|(a, b)| (a - b).abs() / a.abs().max(1e-2)).fold(0.0, f32::max);
    assert!(worst > 0.0 && worst < 1e-3, "{worst}");
    let inner = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let size = std::fs::metadata(inner.join("00000.safetensors")).unwrap().len();
    let numbers = 11 * (16 + 2) * 8;
    assert!((2 * numbers..2 * numbers + 600).contains(&size), "{size}");
}

#[test]
fn other_grids_and_models_without_class_token_have_features_too() {
    let (_, config) = tiny();
    let config = VitConfig { class_token: false, pooling: Pooling::Mean, ..config };
    let model = (init_weights(config.build(&Device::flex()).unwrap(), 5), config);
    let wide = FeatureSettings { size: [8, 24], view: View::Stretch, ..settings() };
    let (store, _) = compute(&model, &counted(1), &wide, None);
    assert!(!store.has_class_token());
    let rows = |token| TokenRows { store: &store, token };
    for token in [Token::Class, Token::Mean, Token::Both] {
        assert_eq!(rows(token).dim(), 8, "{token:?}");
        assert_eq!(rows(token).gather(&[2]), rows(Token::Mean).gather(&[2]));
    }
    assert_eq!(all(&store, "patches").len(), 11 * 12 * 8);

    let key = ModelKey::new(&model.0, &model.1).unwrap();
    let odd = FeatureSettings { size: [10, 16], ..settings() };
    let images: ImageSet = counted(1).into();
    let subject = (&model.0, &model.1, &key);
    let error = features(subject, &images, &odd, None, &Device::flex(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("size is 10x16; the model's patches are 4x4: 12x16"));
}

#[test]
fn classes_are_matched_by_name_whatever_the_test_set_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let set = |name: &str, classes: &[(&str, u8)]| {
        for (class, shade) in classes {
            for copy in 0..4_u8 {
                let path = folder.path().join(name).join(class).join(format!("{copy}.png"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let colour = image::Rgb([*shade, 255 - *shade, copy]);
                RgbImage::from_pixel(32, 32, colour).save(path).unwrap();
            }
        }
        ImageSet::open(folder.path().join(name)).unwrap()
    };
    let train = set("train", &[("a", 0), ("b", 80), ("c", 160), ("d", 255)]);
    let some = set("some", &[("b", 80), ("c", 160)]);
    let strange = set("strange", &[("b", 80), ("x", 160)]);
    let cpu = singer::Device::cpu();
    let model = singer::Model::open("assets/demo-teacher.safetensors", &cpu).unwrap();
    let settings = EvalSettings::of(&model);
    let measured = |test: &ImageSet| evaluate(&model, &train, test, &settings);
    assert_eq!(measured(&some).unwrap().knn_top1, 1.0);
    let error = measured(&strange).unwrap_err().to_string();
    assert!(error.contains('x'), "{error}");
}
