use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use serde_json::Value;
use singer::method::{
    Distillation, Fitnet, FitnetSettings, Lesson, Method, Teacher, Vitkd, VitkdSettings,
};
use singer::train::{Part, Task, TaskLoss};

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

fn check<M: Method>(golden: &Golden, layers: &[usize], model: &M::Model, loss: TaskLoss) {
    let total: f64 = loss.total.clone().inner().into_scalar::<f32>().into();
    golden.assert_relative("loss", &[total], 1e-4);
    let grads = GradientsParams::from_grads(loss.total.backward(), model);
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
    let teacher = Teacher::new(teacher, FloatDType::F32);
    let settings = FitnetSettings { weight: 1.0 };
    let (method, mut model) = Fitnet::new(teacher, student, &layers, settings, 0).unwrap();
    assert_eq!(method.student_layers(), mapped(&json));
    model.projections = layers.iter().map(|&l| projection(&golden, l, device)).collect();
    let loss = Distillation::new(method).loss(&model, image, &[0; 4], &Part::whole());
    check::<Fitnet>(&golden, &layers, &model, loss);
}

fn vitkds_loss_and_gradients_equal_the_reference(device: &Device) {
    let device = &device.clone().autodiff();
    let (golden, json) = case("vitkd");
    let (_, shapes) = cases("singer").swap_remove(0);
    let (teacher, student, image) = models(&shapes, device);
    let layers = layers(&json);
    let teacher = Teacher::new(teacher, FloatDType::F32);
    let settings = VitkdSettings { mimic_layers: vec![], ..VitkdSettings::default() };
    let (method, mut model) =
        Vitkd::new(teacher, student, &layers, [4, 4], settings, true, 0).unwrap();
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
    let masks = layers.iter().map(|layer| {
        let mask = golden.values(&format!("mask.{layer}"));
        TensorData::new(mask.into_iter().map(|m| m as f32).collect::<Vec<_>>(), [4, 17, 1])
    });
    let pixels = Tensor::from_inner(image.clone());
    let lesson = Lesson {
        images: image,
        tokens: model.student.intermediate(pixels, method.student_layers()),
        logits: None,
        labels: &[0; 4],
    };
    let loss = method.loss_with_masks(&model, lesson, masks.collect(), &Part::whole());
    check::<Vitkd>(&golden, &layers, &model, loss);
}

on_both_devices!(
    fitnets_loss_and_gradients_equal_the_reference,
    vitkds_loss_and_gradients_equal_the_reference,
);
