use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;
use singer::distill::{
    Distance, Distillation, FeatureDistillation, LossInputs, Mapping, Method, Proteus,
    ProteusModel, ProteusSettings, Relational, RelationalSettings, Teacher, Vitkd, VitkdModel,
    VitkdSettings,
};
use singer::train::{Loss, Shard, Shards, Task};

use crate::golden::{Golden, by_timm_name, cases, folder, json, own_folder};
use crate::singer::models;

fn case(name: &str) -> (Golden, Value) {
    let file = folder().join(format!("baselines/{name}.json"));
    (Golden::open(&format!("baselines/{name}")), json(&file))
}

/// A case that `tests/golden/baselines/make.py` makes.
fn own_case(name: &str) -> (Golden, Value) {
    let part = format!("baselines/{name}");
    (Golden::own(&part), json(&own_folder().join(format!("{part}.json"))))
}

fn layers(json: &Value) -> Vec<usize> {
    json["layers"].as_array().unwrap().iter().map(|l| l.as_u64().unwrap() as usize).collect()
}

fn mapped(json: &Value) -> Vec<usize> {
    let layers = json["student_layers"].as_array().unwrap();
    layers.iter().map(|l| l.as_u64().unwrap() as usize).collect()
}

fn projection(golden: &Golden, layer: usize, device: &Device) -> Linear {
    linear(golden, &format!("proj.{layer}"), device)
}

fn linear(golden: &Golden, name: &str, device: &Device) -> Linear {
    let weight = golden.tensor::<2>(&format!("{name}.weight"), device).transpose();
    let [from, to] = weight.dims();
    let mut linear = LinearConfig::new(from, to).init(device);
    linear.weight = Param::from_tensor(weight);
    let bias = golden.tensor::<1>(&format!("{name}.bias"), device);
    linear.bias = Some(Param::from_tensor(bias));
    linear
}

fn check<T: Task>(golden: &Golden, layers: &[usize], task: &T, model: &T::Model, image: Tensor<4>) {
    let labels = vec![0; image.dims()[0]];
    let device = image.device().autodiff();
    let (loss, grads) = Shards::one().backward(task, model, &device, &image, &labels, 0);
    let total: f64 = loss.total().into_scalar::<f32>().into();
    golden.assert_relative("loss", &[total], 1e-4);
    let ours = by_timm_name(model, Some(&grads));
    let mut compared = 0;
    for name in golden.names().filter(|name| name.starts_with("grad.")) {
        let mut wanted = name.trim_start_matches("grad.").to_owned();
        for (place, layer) in layers.iter().enumerate() {
            wanted = wanted.replace(&format!("proj.{layer}."), &format!("projections.{place}."));
        }
        let grad = ours.get(&wanted).unwrap_or_else(|| panic!("no gradient for {wanted}"));
        golden.assert_relative(name, grad, 1e-3);
        compared += 1;
    }
    assert!(compared >= 28, "only {compared} gradients are compared");
}

fn fitnets_loss_and_gradients_equal_the_reference(device: &Device) {
    check_features(case("fitnet"), Mapping::Reference, Distance::Mse, device);
}

fn the_loss_and_gradients_of_cosines_equal_pytorch(device: &Device) {
    check_features(own_case("cosine"), Mapping::Last, Distance::Cosine, device);
}

fn the_loss_and_gradients_of_normalised_features_equal_pytorch(device: &Device) {
    check_features(own_case("normalised"), Mapping::Last, Distance::Normalised, device);
}

fn check_features(
    (golden, json): (Golden, Value),
    mapping: Mapping,
    distance: Distance,
    device: &Device,
) {
    let device = &device.clone().autodiff();
    let (_, shapes) = cases("singer").swap_remove(0);
    let (teacher, student, image) = models(&shapes, device);
    let layers = layers(&json);
    let teacher = Teacher::new(teacher);
    let made = FeatureDistillation::new(teacher, student, &layers, mapping, distance, 1.0, 0);
    let (method, mut model) = made.unwrap();
    assert_eq!(method.student_layers(), mapped(&json));
    model.projections = layers.iter().map(|&l| projection(&golden, l, device)).collect();
    check(&golden, &layers, &Distillation::new(method), &model, image);
}

fn vitkds_loss_and_gradients_equal_the_reference(device: &Device) {
    let device = &device.clone().autodiff();
    let (golden, json) = case("vitkd");
    let (_, shapes) = cases("singer").swap_remove(0);
    let (teacher, student, image) = models(&shapes, device);
    let layers = layers(&json);
    let patch = teacher.patch_embed.proj.weight.dims()[2];
    let [_, _, height, width] = image.dims();
    let grid = [height / patch, width / patch];
    let teacher = Teacher::new(teacher);
    let settings = VitkdSettings::default().with(|s| s.mimic_layers = vec![]);
    let (method, mut model) =
        Vitkd::new(teacher, student, &layers, Mapping::Reference, grid, settings, true, 0).unwrap();
    assert_eq!(method.student_layers(), mapped(&json));
    model.projections = layers.iter().map(|&l| projection(&golden, l, device)).collect();
    model.mask_token = Param::from_tensor(golden.tensor("mask_token", device));
    for (generator, layer) in model.generators.iter_mut().zip(&layers) {
        for (conv, name) in [(&mut generator.conv1, "conv1"), (&mut generator.conv2, "conv2")] {
            let name = format!("generator.{layer}.{name}");
            conv.weight = Param::from_tensor(golden.tensor(&format!("{name}.weight"), device));
            conv.bias = Param::from_tensor(golden.tensor(&format!("{name}.bias"), device));
        }
    }
    let images = image.dims()[0];
    let masks = layers.iter().map(|layer| {
        let mask: Vec<f32> =
            golden.values(&format!("mask.{layer}")).into_iter().map(|m| m as f32).collect();
        let tokens = mask.len() / images;
        TensorData::new(mask, [images, tokens, 1])
    });
    let task = WithMasks { method, masks: masks.collect() };
    check(&golden, &layers, &task, &model, image);
}

fn relations_between_images_and_patches_equal_the_published_loss(device: &Device) {
    let device = &device.clone().autodiff();
    let (golden, json) = own_case("relational");
    let (_, shapes) = cases("singer").swap_remove(0);
    let (teacher, student, image) = models(&shapes, device);
    let settings = RelationalSettings::default().with(|s| s.queue = Some(10));
    let made = Relational::new(Teacher::new(teacher), student, None, settings, 0);
    let (method, mut model) = made.unwrap();
    assert_eq!(method.student_layers(), mapped(&json));
    model.global = linear(&golden, "global", device);
    model.local = linear(&golden, "local", device);
    model.queue = Param::from_tensor(golden.tensor::<2>("queue", device)).no_grad();
    let task = Distillation::new(method);
    check(&golden, &[], &task, &model, image.clone());

    let (mut loss, grads) = Shards::one().backward(&task, &model, device, &image, &[0; 4], 0);
    for (name, value) in loss.terms.iter().cloned() {
        golden.assert_relative(name, &[value.into_scalar::<f32>().into()], 1e-4);
    }
    assert!(grads.get::<2>(model.queue.id).is_none(), "the queue is not trained");
    let rows = loss.remembered.take().unwrap();
    golden.assert_close("remembered", rows.clone(), 1e-5);
    let next = task.remember(model, rows.clone()).queue;
    assert!(!next.val().is_require_grad());
    let newest = next.val().inner().narrow(0, 0, 4) - rows;
    assert_eq!(newest.abs().max().into_scalar::<f32>(), 0.0);
    let older = next.val().inner().narrow(0, 4, 6)
        - golden.tensor::<2>("queue", &image.device()).narrow(0, 0, 6);
    assert_eq!(older.abs().max().into_scalar::<f32>(), 0.0);
}

fn proteuss_loss_and_gradients_equal_pytorch(device: &Device) {
    let device = &device.clone().autodiff();
    let (golden, json) = own_case("proteus");
    let (_, shapes) = cases("singer").swap_remove(0);
    let (teacher, student, image) = models(&shapes, device);
    let settings = ProteusSettings::default();
    let made = Proteus::new(Teacher::new(teacher), student, [4, 4], settings, 0);
    let (method, mut model) = made.unwrap();
    assert_eq!(method.student_layers(), mapped(&json));
    let heads =
        [("token", &mut model.token), ("feature", &mut model.feature), ("patch", &mut model.patch)];
    for (name, head) in heads {
        head.linear = linear(&golden, &format!("{name}.linear"), device);
        let values = |part: &str| golden.tensor::<1>(&format!("{name}.norm.{part}"), device);
        head.norm.gamma = Param::from_tensor(values("weight"));
        head.norm.beta = Some(Param::from_tensor(values("bias")));
    }
    model.mask_token = Param::from_tensor(golden.tensor("mask_token", device));
    let masked = json["masked"].as_array().unwrap();
    let masked: Vec<usize> = masked.iter().map(|i| i.as_u64().unwrap() as usize).collect();
    // The published script masks the first half of a batch, ours every second image.
    assert_eq!(method.masks(4, 7, 0).0, masked);
    let masks = (masked, golden.data("mask").clone());
    check(&golden, &[], &Masked { method, masks }, &model, image);
}

/// Proteus with given masks instead of its own.
struct Masked {
    method: Proteus,
    masks: (Vec<usize>, TensorData),
}

impl Task for Masked {
    type Model = ProteusModel;

    fn loss(&self, model: &ProteusModel, shard: Shard<'_>) -> Loss {
        let Shard { images, labels, step, first, .. } = shard;
        let pixels = Tensor::from_inner(images.clone());
        let tokens = model.student.intermediate(pixels, self.method.student_layers());
        let inputs = LossInputs { images, tokens, logits: None, labels, step, first };
        self.method.loss_with_masks(model, inputs, self.masks.clone())
    }
}

/// ViTKD with the reference's masks instead of its own.
struct WithMasks {
    method: Vitkd,
    masks: Vec<TensorData>,
}

impl Task for WithMasks {
    type Model = VitkdModel;

    fn loss(&self, model: &VitkdModel, shard: Shard<'_>) -> Loss {
        let Shard { images, labels, step, first, .. } = shard;
        let pixels = Tensor::from_inner(images.clone());
        let tokens = model.student.intermediate(pixels, self.method.student_layers());
        let inputs = LossInputs { images, tokens, logits: None, labels, step, first };
        self.method.loss_with_masks(model, inputs, self.masks.clone())
    }
}

on_both_devices!(
    fitnets_loss_and_gradients_equal_the_reference,
    the_loss_and_gradients_of_cosines_equal_pytorch,
    the_loss_and_gradients_of_normalised_features_equal_pytorch,
    relations_between_images_and_patches_equal_the_published_loss,
    proteuss_loss_and_gradients_equal_pytorch,
    vitkds_loss_and_gradients_equal_the_reference,
);
