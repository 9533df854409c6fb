use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use crate::normal;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use singer::data::{ImageSet, LoaderSettings, Normalise, Scenes, TrainTransform, Transform};
use singer::distill::singer::{Singer, SingerModel, SingerSettings};
use singer::distill::{
    Distance, Distillation, FeatureDistillation, FeatureModel, Kd, KdSettings, LabelsOnly, Mapping,
    Method, Proteus, ProteusModel, ProteusSettings, Relational, RelationalModel,
    RelationalSettings, Teacher, Vitkd, VitkdModel, VitkdSettings, queue_size, soft_target_kl,
};
use singer::refine::{Adapter, Adapters, Gate, Refiner};
use singer::train::{
    Feed, Loss, OptimizerSettings, Pretraining, Schedule, Shard, Shards, Task, Term, TrainSettings,
    Value, cross_entropy, top1_accuracy, train,
};
use singer::vit::{Vit, VitConfig, init_weights};

fn shape() -> VitConfig {
    VitConfig {
        img_size: [16, 16],
        patch_size: 4,
        embed_dim: 8,
        depth: 3,
        num_heads: 2,
        num_classes: 8,
        ..VitConfig::default()
    }
}

fn teacher() -> Vit {
    let wide = VitConfig { embed_dim: 16, ..shape() };
    init_weights(wide.build(&Device::flex()).unwrap(), 1)
}

fn frozen() -> Teacher {
    Teacher::new(teacher())
}

fn student() -> Vit {
    init_weights(shape().build(&Device::flex().autodiff()).unwrap(), 2)
}

pub(crate) fn singer() -> (Singer, SingerModel) {
    let teacher = teacher();
    let settings = SingerSettings::default().with(|s| {
        s.layers = vec![1];
        s.rank = 4;
    });
    let (method, model, _) = Singer::new(teacher, student(), &settings, 5).unwrap();
    (method, model)
}

const DISTANCES: [Distance; 3] = [Distance::Mse, Distance::Cosine, Distance::Normalised];

fn features(distance: Distance) -> (FeatureDistillation, FeatureModel) {
    FeatureDistillation::new(frozen(), student(), &[1], Mapping::Last, distance, 1.0, 5).unwrap()
}

fn vitkd(trained: bool) -> (Vitkd, VitkdModel) {
    let settings = VitkdSettings::default().with(|s| s.mimic_layers = vec![0]);
    Vitkd::new(frozen(), student(), &[1], Mapping::Last, [4, 4], settings, trained, 5).unwrap()
}

fn relational() -> (Relational, RelationalModel) {
    let settings = RelationalSettings::default().with(|s| s.queue = Some(12));
    Relational::new(frozen(), student(), None, settings, 5).unwrap()
}

fn proteus() -> (Proteus, ProteusModel) {
    Proteus::new(frozen(), student(), [4, 4], ProteusSettings::default(), 5).unwrap()
}

fn kd() -> Kd {
    Kd::new(frozen(), &student(), KdSettings::default()).unwrap()
}

#[derive(Default, Clone, PartialEq)]
struct Seen {
    pixels: Vec<f32>,
    labels: Vec<usize>,
}

/// Notes what the loop gives to a task.
struct Watched<T> {
    task: T,
    seen: Mutex<Vec<Seen>>,
    start: Mutex<Vec<f32>>,
}

impl<M: Method> Task for Watched<Distillation<M>> {
    type Model = M::Model;

    fn loss(&self, model: &M::Model, shard: Shard<'_>) -> Loss {
        if shard.step == 0 {
            *self.start.lock().unwrap() = values(self.task.method.student(model));
        }
        let pixels = shard.images.clone().into_data().iter::<f32>().collect();
        self.seen.lock().unwrap().push(Seen { pixels, labels: shard.labels.to_vec() });
        self.task.loss(model, shard)
    }
}

struct Values(Vec<f32>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.extend(param.val().inner().into_data().iter::<f32>());
    }
}

fn values<M: Module>(model: &M) -> Vec<f32> {
    let mut values = Values(Vec::new());
    model.visit(&mut values);
    values.0
}

fn three_steps<M: Method>(method: M, model: M::Model) -> (Vec<Seen>, Vec<f32>) {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex().autodiff();
    let images = ImageSet::new(Scenes::new(3, 0..24, 16));
    let settings = TrainSettings::new(folder.path(), 3).with(|s| {
        s.schedule = Schedule::Constant {};
        s.log_every = 1;
        s.loader = LoaderSettings { batch: 8, seed: 9, workers: 2, ..LoaderSettings::default() };
    });
    let transform = Transform::Train(TrainTransform {
        size: [16, 16],
        scale: [0.3, 1.0],
        ratio: [0.75, 4.0 / 3.0],
        flip: 0.5,
    });
    let normalise = Normalise { mean: [0.5; 3], std: [0.5; 3] };
    let task = Watched {
        task: Distillation::new(method),
        seen: Mutex::default(),
        start: Mutex::default(),
    };
    let stop = AtomicBool::new(false);
    let quiet = &mut |_: singer::train::Progress<'_>| {};
    let done = train(
        &task,
        model,
        &device,
        Feed { images: images.into(), transform, normalise },
        &settings,
        &stop,
        quiet,
    );
    assert_ne!(
        values(task.task.method.student(&done.unwrap().0)),
        *task.start.lock().unwrap(),
        "three steps train the student"
    );
    (task.seen.into_inner().unwrap(), task.start.into_inner().unwrap())
}

#[test]
fn all_methods_see_the_same_batches_and_start_from_the_same_student() {
    let (method, model) = singer();
    let wanted = three_steps(method, model);
    assert_eq!(wanted.0.len(), 3);
    assert!(wanted.0[0] != wanted.0[1], "batches differ");
    for distance in DISTANCES {
        let (method, model) = features(distance);
        assert!(three_steps(method, model) == wanted, "{distance:?}");
    }
    let (method, model) = relational();
    assert!(three_steps(method, model) == wanted, "relational");
    let (method, model) = proteus();
    assert!(three_steps(method, model) == wanted, "proteus");
    for trained in [true, false] {
        let (method, model) = vitkd(trained);
        assert!(three_steps(method, model) == wanted, "vitkd");
    }
    assert!(three_steps(kd(), student()) == wanted, "kd");
    assert!(three_steps(LabelsOnly, student()) == wanted, "none");
}

fn images(count: usize) -> Tensor<4> {
    normal([count, 3, 16, 16], 1.0, 5)
}

/// Loss, and gradient of one of the student's weights, in one shard and in several.
fn check_shards<M: Method>(method: M, model: &M::Model, label_weight: f64) {
    let task = Distillation { method, label_weight };
    let device = Device::flex().autodiff();
    let images = images(5);
    let run = |count: usize| {
        let shards = Shards::new(count).unwrap();
        let labels = [0, 1, 2, 3, 7];
        let (loss, grads) = shards.backward(&task, model, &device, &images, &labels, 4);
        let weight = &task.method.student(model).blocks[0].mlp.fc1.weight;
        let grad: Vec<f32> = grads.get::<2>(weight.id).unwrap().into_data().iter().collect();
        let terms: f32 = loss.terms.iter().map(|(_, t)| t.clone().into_scalar::<f32>()).sum();
        (loss.total().into_scalar::<f32>(), terms, grad)
    };
    let (whole, terms, whole_grad) = run(1);
    assert!((whole - terms).abs() <= 1e-5 * whole.abs(), "the terms add up to the loss");
    for count in [2, 3] {
        let (total, _, grad) = run(count);
        assert!((total - whole).abs() <= 1e-5 * whole.abs(), "{count} shards: {total} for {whole}");
        let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
        let difference: Vec<f32> = grad.iter().zip(&whole_grad).map(|(a, b)| a - b).collect();
        assert!(norm(&difference) <= 1e-4 * norm(&whole_grad), "{count} shards: gradients differ");
    }
}

#[test]
fn shards_of_a_batch_add_up_to_the_whole_for_every_method_with_and_without_labels() {
    for label_weight in [0.0, 0.5] {
        let (method, model) = singer();
        check_shards(method, &model, label_weight);
        for distance in DISTANCES {
            let (method, model) = features(distance);
            check_shards(method, &model, label_weight);
        }
        let (method, model) = vitkd(true);
        check_shards(method, &model, label_weight);
        let (method, model) = relational();
        check_shards(method, &model, label_weight);
        let (method, model) = proteus();
        check_shards(method, &model, label_weight);
        check_shards(kd(), &student(), label_weight);
    }
    check_shards(LabelsOnly, &student(), 0.0);
}

/// The teacher with one direction taken out of the tokens that leave block 1 where their score
/// along it is above `limit`.
fn refined(limit: f32) -> Teacher {
    let device = Device::flex();
    let signs: Vec<f32> = (0..16).map(|index| if index % 2 == 0 { 0.25 } else { -0.25 }).collect();
    let up = Tensor::<1>::from_floats(signs.as_slice(), &device).reshape([1, 16]);
    let centre = Tensor::zeros([16], &device);
    let gate = Gate::new(centre, Tensor::from_floats([limit], &device), true);
    let adapter = Adapter {
        down: Param::from_tensor(up.clone().transpose().neg()),
        up: Param::from_tensor(up),
        gate: Some(gate),
    };
    let adapters = Adapters::from_iter([(1, adapter)]);
    frozen().refined(Some(Refiner::ClosedForm(adapters)))
}

/// The loss of each method that learns from this teacher.
fn losses(teacher: impl Fn() -> Teacher) -> Vec<(String, f32)> {
    fn of<M: Method>(name: &str, (method, model): (M, M::Model)) -> (String, f32) {
        let labels = &[0, 1, 2, 3, 7];
        let shard = Shard { images: images(5), labels, step: 0, first: 0, recompute: false };
        let terms = Distillation::new(method).loss(&model, shard).terms;
        let value = |term: Term| match term.value {
            Value::Mean(mean) => mean.into_scalar::<f32>(),
            Value::Ratios(ratios) => ratios
                .into_iter()
                .map(|r| (r.sum.inner() / r.count.inner()).into_scalar::<f32>())
                .sum(),
        };
        (name.to_owned(), terms.into_iter().map(value).sum())
    }
    let mut found: Vec<_> = DISTANCES
        .iter()
        .map(|&distance| {
            let mapping = Mapping::Last;
            let made =
                FeatureDistillation::new(teacher(), student(), &[1], mapping, distance, 1.0, 5);
            of(&format!("{distance:?}"), made.unwrap())
        })
        .collect();
    let relational = RelationalSettings::default().with(|s| s.queue = Some(12));
    let made = Relational::new(teacher(), student(), None, relational, 5);
    found.push(of("relational", made.unwrap()));
    let made = Proteus::new(teacher(), student(), [4, 4], ProteusSettings::default(), 5);
    found.push(of("proteus", made.unwrap()));
    let vitkd = VitkdSettings::default().with(|s| s.mimic_layers = vec![0]);
    let made = Vitkd::new(teacher(), student(), &[1], Mapping::Last, [4, 4], vitkd, true, 5);
    found.push(of("vitkd", made.unwrap()));
    let kd = Kd::new(teacher(), &student(), KdSettings::default()).unwrap();
    found.push(of("kd", (kd, student())));
    found
}

#[test]
fn every_method_learns_from_refined_features_and_logits_where_the_teacher_has_them() {
    let raw = losses(frozen);
    let idle = losses(|| refined(1e9));
    let active = losses(|| refined(1e-3));
    assert_eq!(raw, idle, "a gate that nothing passes changes nothing");
    for ((name, raw), (_, active)) in raw.iter().zip(&active) {
        assert!((raw - active).abs() > 1e-4 * raw.abs(), "{name}: {raw} and {active}");
    }
}

struct Gradients<'a>(&'a GradientsParams, Vec<f32>);

impl ModuleVisitor for Gradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let grad = self.0.get::<D>(param.id);
        self.1.extend(
            grad.into_iter().flat_map(|grad| grad.into_data().iter().collect::<Vec<f32>>()),
        );
    }
}

/// Gradients of all parameters, and every recorded value, of a batch of 7 in one go and in
/// micro-batches.
fn check_accumulation<T: Task>(name: &str, task: &T, model: &T::Model) {
    let device = Device::flex().autodiff();
    let images = images(7);
    let labels = [0, 1, 2, 3, 7, 5, 1];
    let run = |shards: usize, micro_batches: usize, recompute: bool| {
        let shards = Shards::new(shards).unwrap().accumulate(micro_batches).recompute(recompute);
        let (loss, grads) = shards.backward(task, model, &device, &images, &labels, 4);
        let mut all = Gradients(&grads, Vec::new());
        model.visit(&mut all);
        let recorded = loss.terms.iter().cloned().chain(loss.observations());
        let recorded: Vec<f32> = recorded.map(|(_, value)| value.into_scalar()).collect();
        (all.1, recorded)
    };
    let (whole, recorded) = run(1, 1, false);
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!(norm(&whole) > 0.0);
    let micro_batches = [(1, 2), (1, 3), (1, 7), (1, 9), (2, 2), (3, 2)];
    let kept = micro_batches.map(|(shards, count)| (shards, count, false));
    let recomputed = [(1, 1, true), (2, 1, true), (1, 3, true), (2, 2, true)];
    for (shards, micro_batches, recompute) in kept.into_iter().chain(recomputed) {
        let (grads, values) = run(shards, micro_batches, recompute);
        let what = format!(
            "{name}, {shards} shards of {micro_batches} micro-batches, recompute {recompute}"
        );
        let difference: Vec<f32> = grads.iter().zip(&whole).map(|(a, b)| a - b).collect();
        assert_eq!(grads.len(), whole.len(), "{what}");
        let error = norm(&difference) / norm(&whole);
        assert!(error <= 2e-6, "{what}: gradients differ by {error:.1e}");
        for (value, whole) in values.iter().zip(&recorded) {
            assert!((value - whole).abs() <= 1e-5 * whole.abs(), "{what}: {value} for {whole}");
        }
    }
}

#[test]
fn micro_batches_and_recomputation_give_the_gradients_of_the_whole_batch_for_every_method() {
    for label_weight in [0.0, 0.5] {
        let (method, model) = singer();
        check_accumulation("singer", &Distillation { method, label_weight }, &model);
        for distance in DISTANCES {
            let (method, model) = features(distance);
            let name = format!("{distance:?}");
            check_accumulation(&name, &Distillation { method, label_weight }, &model);
        }
        let (method, model) = vitkd(true);
        check_accumulation("vitkd", &Distillation { method, label_weight }, &model);
        let (method, model) = relational();
        check_accumulation("relational", &Distillation { method, label_weight }, &model);
        let (method, model) = proteus();
        check_accumulation("proteus", &Distillation { method, label_weight }, &model);
        check_accumulation("kd", &Distillation { method: kd(), label_weight }, &student());
    }
    check_accumulation("labels", &Distillation::new(LabelsOnly), &student());
    check_accumulation("pretraining", &Pretraining { label_smoothing: 0.1 }, &student());
}

/// Micro-batches would go wrong without a message where a method announced other counts than
/// its loss divides by.
fn check_counts<M: Method>(name: &str, method: M, model: &M::Model, wanted: usize) {
    let task = Distillation { method, label_weight: 0.5 };
    let shard =
        || Shard { images: images(3), labels: &[0, 1, 2], step: 4, first: 2, recompute: false };
    let values = |counts: Vec<Tensor<1>>| -> Vec<f32> {
        counts.into_iter().map(|count| count.into_scalar()).collect()
    };
    let ahead = task.method.counts(model, &shard()).expect("known without the loss");
    let of_loss = values(task.loss(model, shard()).counts());
    assert_eq!(values(ahead), of_loss, "{name}");
    assert_eq!(of_loss.len(), wanted, "{name}");
}

#[test]
fn the_counts_that_a_method_announces_are_those_of_its_loss() {
    let (method, model) = singer();
    check_counts("singer", method, &model, 2);
    for distance in DISTANCES {
        let (method, model) = features(distance);
        check_counts(&format!("{distance:?}"), method, &model, 0);
    }
    let (method, model) = vitkd(true);
    check_counts("vitkd", method, &model, 2);
    let (method, model) = relational();
    check_counts("relational", method, &model, 0);
    let (method, model) = proteus();
    check_counts("proteus", method, &model, 1);
    check_counts("kd", kd(), &student(), 0);
    check_counts("labels", LabelsOnly, &student(), 0);
}

fn moved_by_a_step(method: Vitkd, model: VitkdModel) -> (Vec<f32>, Vec<f32>) {
    let before = model.clone();
    let task = Distillation::new(method);
    let device = Device::flex().autodiff();
    let shards = Shards::new(2).unwrap();
    let (_, grads) = shards.backward(&task, &model, &device, &images(4), &[0; 4], 0);
    let settings = OptimizerSettings::default();
    let after = singer::train::ParamOptimizer::new(&settings).step(0.1, model, grads, None);
    let moved = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(b).map(|(a, b)| (a - b).abs()).collect();
    let generators = moved(values(&before.generators), values(&after.generators));
    let token = moved(values(&before.mask_token), values(&after.mask_token));
    assert_ne!(values(&before.projections), values(&after.projections));
    (generators, token)
}

#[test]
fn vitkd_trains_generators_and_mask_token_and_its_reference_form_leaves_them() {
    let (method, model) = vitkd(true);
    let (generators, token) = moved_by_a_step(method, model);
    assert!(generators.iter().all(|&moved| moved > 0.0));
    assert!(token.iter().all(|&moved| moved > 0.0));
    let (method, model) = vitkd(false);
    let (generators, token) = moved_by_a_step(method, model);
    assert!(generators.iter().chain(&token).all(|&moved| moved == 0.0));
}

/// One token each of three: along the teacher's, across it, against it.
#[test]
fn distances_equal_hand_worked_numbers_and_cosines_see_no_norms() {
    let device = Device::flex();
    let made = Tensor::<3>::from_data([[[3.0_f32, 0.0], [0.0, 0.5], [-2.0, 0.0]]], &device);
    let wanted = Tensor::<3>::from_data([[[9.0_f32, 0.0], [4.0, 0.0], [0.1, 0.0]]], &device);
    let distance = |distance: Distance, made: &Tensor<3>, wanted: &Tensor<3>| -> f32 {
        distance.between(made.clone(), wanted.clone()).into_scalar()
    };
    let cosine = distance(Distance::Cosine, &made, &wanted);
    assert!((cosine - 1.0).abs() < 1e-6, "the mean of 0, 1 and 2, not {cosine}");
    let louder = distance(Distance::Cosine, &made, &(wanted.clone() * 100.0));
    assert!((louder - cosine).abs() < 1e-6);
    let mse = distance(Distance::Mse, &made, &wanted);
    let by_hand = (36.0 + (16.0 + 0.25) + 2.1 * 2.1) / 6.0;
    assert!((mse - by_hand).abs() < 1e-5, "{mse} for {by_hand}");
    // Two values above and below their mean become 1 and -1, whatever their size.
    let ones = Tensor::<3>::from_data([[[1.0_f32, -1.0], [1.0, -1.0], [1.0, -1.0]]], &device);
    let normalised = distance(Distance::Normalised, &ones, &(wanted * 100.0));
    assert!(normalised < 1e-6, "{normalised}");
    let zero = Tensor::<3>::zeros([1, 3, 2], &device.autodiff()).require_grad();
    let far = Distance::Cosine.between(zero.clone(), ones.to_device(&zero.device()));
    let grad: Vec<f32> = zero.grad(&far.backward()).unwrap().into_data().iter().collect();
    assert!(grad.iter().all(|value| value.is_finite()), "a zero token: {grad:?}");
}

#[test]
fn a_mask_follows_from_seed_step_place_and_layer_alone() {
    let (method, _) = vitkd(true);
    let mask = |step, first, images| -> Vec<Vec<f32>> {
        let masks = method.masks([images, 17], step, first);
        masks.into_iter().map(|mask| mask.iter::<f32>().collect()).collect()
    };
    let whole = mask(3, 0, 40);
    assert_eq!(whole.len(), 2, "one for each generated layer");
    let second_half = mask(3, 20, 20);
    assert_eq!(whole[0][20 * 17..], second_half[0]);
    assert_ne!(whole[0], whole[1], "layers differ");
    assert_ne!(whole, mask(4, 0, 40), "steps differ");
    let share = whole[0].iter().sum::<f32>() / whole[0].len() as f32;
    assert!((share - 0.5).abs() < 0.08, "{share} of the tokens are masked");
}

#[test]
fn every_second_image_is_seen_masked_in_half_its_patches_wherever_a_batch_is_split() {
    let (method, _) = proteus();
    let (masked, mask) = method.masks(7, 3, 0);
    assert_eq!(masked, [1, 3, 5]);
    let mask: Vec<f32> = mask.iter().collect();
    assert!(mask.chunks(16).all(|patches| patches.iter().sum::<f32>() == 8.0));
    let (later, of_later) = method.masks(4, 3, 3);
    assert_eq!(later, [0, 2], "counted from the shard's first image");
    assert_eq!(of_later.iter::<f32>().collect::<Vec<_>>(), mask[16..]);
    let (_, next) = method.masks(7, 4, 0);
    assert_ne!(next.iter::<f32>().collect::<Vec<_>>(), mask, "steps differ");
    let settings = ProteusSettings::default().with(|s| s.masked_images = 0.3);
    let (some, _) = Proteus::new(frozen(), student(), [4, 4], settings, 5).unwrap();
    assert_eq!(some.masks(20, 0, 0).0.len(), 6, "the share of the settings");
}

/// The queue of the model after three steps, and the gradients of the fourth.
fn queue_after_three_steps(shards: usize, micro_batches: usize) -> (Vec<f32>, Vec<f32>) {
    let (method, mut model) = relational();
    let task = Distillation::new(method);
    let device = Device::flex().autodiff();
    let shards = Shards::new(shards).unwrap().accumulate(micro_batches);
    for step in 0..3 {
        // Other images in each step.
        let images = images(5) * (step as f32 - 1.5);
        let (mut loss, _) = shards.backward(&task, &model, &device, &images, &[0; 5], step);
        model = task.remember(model, loss.remembered.take().unwrap());
    }
    let queue = model.queue.val().inner().into_data().iter().collect();
    let (_, grads) = shards.backward(&task, &model, &device, &images(5), &[0; 5], 3);
    let mut all = Gradients(&grads, Vec::new());
    model.visit(&mut all);
    (queue, all.1)
}

#[test]
fn the_queue_holds_the_newest_images_first_whatever_the_shards_and_micro_batches() {
    let (queue, grads) = queue_after_three_steps(1, 1);
    let rows: Vec<&[f32]> = queue.chunks(16).collect();
    assert_eq!(rows.len(), 12);
    for row in &rows {
        let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((norm - 1.0).abs() < 1e-5, "three batches of five fill it: {norm}");
    }
    let teacher = teacher();
    let newest = teacher.forward_features(images(5) * 0.5).narrow(1, 0, 1);
    let newest: Vec<f32> = newest.into_data().iter().collect();
    for (row, class) in rows.iter().zip(newest.chunks(16)) {
        let norm = class.iter().map(|value| value * value).sum::<f32>().sqrt();
        let apart = row.iter().zip(class).map(|(a, b)| (a - b / norm).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "the last batch in its order");
    }
    for (shards, micro_batches) in [(2, 1), (3, 2), (1, 4)] {
        let (other, their_grads) = queue_after_three_steps(shards, micro_batches);
        let apart = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max)
        };
        assert!(apart(&queue, &other) < 1e-6, "{shards} shards of {micro_batches}");
        assert_eq!(grads.len(), their_grads.len());
        assert!(apart(&grads, &their_grads) < 1e-5, "{shards} shards of {micro_batches}");
    }
}

#[test]
fn the_queues_length_follows_from_the_data_set_as_published() {
    let sizes = [10, 50, 999, 4_000, 19_999, 20_000].map(|images| queue_size(Some(images)));
    assert_eq!(sizes, [16, 32, 256, 2_048, 4_096, 8_192]);
    assert_eq!(queue_size(None), 8_192);
}

#[test]
fn losses_on_logits_equal_hand_worked_numbers() {
    let device = Device::flex();
    let logits = Tensor::<2>::from_data([[0.0, 3.0_f32.ln()], [0.0, 0.0]], &device);
    // -ln(3/4) and -ln(1/2).
    let wanted = (-(0.75_f32.ln()) - 0.5_f32.ln()) / 2.0;
    let found: f32 = cross_entropy(logits.clone(), &[1, 0], 0.0).into_scalar();
    assert!((found - wanted).abs() < 1e-6);
    let rate: f32 = top1_accuracy(logits.clone(), &[1, 1]).into_scalar();
    assert_eq!(rate, 0.5);

    let teacher = Tensor::<2>::from_data([[0.0, 3.0_f32.ln() * 2.0], [0.0, 0.0]], &device);
    let found: f32 = soft_target_kl(logits * 0.0, teacher.clone(), 2.0).into_scalar();
    // T² (¼ ln(¼ / ½) + ¾ ln(¾ / ½)) for one of two images.
    let wanted = 4.0 * (0.25 * 0.5_f32.ln() + 0.75 * 1.5_f32.ln()) / 2.0;
    assert!((found - wanted).abs() < 1e-6, "{found} for {wanted}");
    let own: f32 = soft_target_kl(teacher.clone(), teacher, 3.0).into_scalar();
    assert!(own.abs() < 1e-6);
}

#[test]
fn the_largest_refined_norm_does_not_depend_on_the_number_of_shards() {
    let (method, model) = singer();
    let task = Distillation::new(method);
    let device = Device::flex().autodiff();
    let images = images(6);
    let largest = |count: usize| -> f32 {
        let shards = Shards::new(count).unwrap();
        let (loss, _) = shards.backward(&task, &model, &device, &images, &[0; 6], 0);
        let mut found = loss.observations();
        let (name, value) = found.next().unwrap();
        assert_eq!(name, "refined_norm_max");
        value.into_scalar()
    };
    let whole = largest(1);
    for count in [2, 3, 6] {
        assert!((largest(count) - whole).abs() <= 1e-5 * whole, "{count} shards");
    }
}

#[test]
fn every_block_is_trained_unless_the_references_mapping_leaves_the_last_ones() {
    let untrained = |mapping| {
        let (teacher, mse) = (frozen(), Distance::Mse);
        let made = FeatureDistillation::new(teacher, student(), &[], mapping, mse, 1.0, 0);
        (Distillation::new(made.unwrap().0), 3)
    };
    let (task, depth) = untrained(Mapping::Last);
    assert!(task.untrained_blocks(depth).is_empty());
    let (task, depth) = untrained(Mapping::Reference);
    assert_eq!(task.untrained_blocks(depth), 2..3);
    let with_labels = Distillation { label_weight: 0.5, ..task };
    assert!(with_labels.untrained_blocks(depth).is_empty(), "labels train the last block");
}
