use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;
use singer::distill::{
    Distance, Distillation, FeatureDistillation, LossInputs, Mapping, Method, Teacher, Vitkd,
    VitkdModel, VitkdSettings,
};
use singer::train::{Loss, Shard, Shards, Task};

use crate::golden::{Golden, by_timm_name, cases, folder, json};
use crate::singer::models;

fn case(name: &str) -> (Golden, Value) {
    let file = folder().join(format!("baselines/{name}.json"));
    (Golden::open(&format!("baselines/{name}")), json(&file))
}

fn layers(json: &Value) -> Vec<usize> {
    json["layers"].as_array().unwrap().iter().map(|l| l.as_u64().unwrap() as usize).collect()
}

fn mapped(json: &Value) -> Vec<usize> {
    let layers = json["student_layers"].as_array().unwrap();
    layers.iter().map(|l| l.as_u64().unwrap() as usize).collect()
}

fn projection(golden: &Golden, layer: usize, device: &Device) -> Linear {
    let weight = golden.tensor::<2>(&format!("proj.{layer}.weight"), device).transpose();
    let [from, to] = weight.dims();
    let mut linear = LinearConfig::new(from, to).init(device);
    linear.weight = Param::from_tensor(weight);
    let bias = golden.tensor::<1>(&format!("proj.{layer}.bias"), device);
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
    let device = &device.clone().autodiff();
    let (golden, json) = case("fitnet");
    let (_, shapes) = cases("singer").swap_remove(0);
    let (teacher, student, image) = models(&shapes, device);
    let layers = layers(&json);
    let teacher = Teacher::new(teacher);
    let (mapping, distance) = (Mapping::Reference, Distance::Mse);
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
    vitkds_loss_and_gradients_equal_the_reference,
);
