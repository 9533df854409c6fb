use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use serde_json::Value;
use singer::distill::singer::{LossForm, Singer, SingerModel, SingerSettings};
use singer::distill::{Distillation, Mapping, Method, as_constant};
use singer::refine::Adapter;
use singer::refine::nullspace::{Basis, BasisKind, Linearised, Selection, next_block};
use singer::train::Shards;
use singer::vit::Vit;

use crate::golden::{Golden, by_timm_name, cases, load_vit, vit_config};

/// The pair of models that all cases share; `json` is a case in reference form.
pub(crate) fn models(json: &Value, device: &Device) -> (Vit, Vit, Tensor<4>) {
    let plain = device.clone().inner();
    let image = Golden::open("singer/image").tensor::<4>("image", &plain);
    let [_, _, height, width] = image.dims();
    let load = |name: &str, device: &Device| {
        let part = format!("singer/{name}");
        let config = vit_config(&Golden::open(&part), &json[name], [height, width]);
        load_vit(&part, &config, device)
    };
    (load("teacher", &plain), load("student", device), image)
}

pub(crate) fn settings(json: &Value, losses: LossForm) -> SingerSettings {
    let layers = json["layers"].as_array().unwrap();
    SingerSettings::default().with(|s| {
        s.mapping = Mapping::Reference;
        s.layers = layers.iter().map(|layer| layer.as_u64().unwrap() as usize).collect();
        s.rank = json["rank"].as_u64().unwrap() as usize;
        s.quantile = json["quantile"].as_f64().unwrap();
        s.losses = losses;
        s.weights = serde_json::from_value(json["weights"].clone()).unwrap();
    })
}

/// The method as `distill` runs it, with the case's own adapters and projections.
pub(crate) fn method(
    (teacher, student): (Vit, Vit),
    settings: &SingerSettings,
    golden: &Golden,
    prefix: &str,
    device: &Device,
) -> (Distillation<Singer>, SingerModel) {
    let layers = settings.resolve_layers(teacher.depth()).unwrap();
    let tensor2 = |name: String| golden.tensor::<2>(&name, device);
    let adapters: Vec<Adapter> = layers
        .iter()
        .map(|layer| Adapter {
            down: Param::from_tensor(tensor2(format!("{prefix}adapter.{layer}.down"))),
            up: Param::from_tensor(tensor2(format!("{prefix}adapter.{layer}.up"))),
            gate: None,
        })
        .collect();
    let projections = layers
        .iter()
        .map(|layer| {
            let weight = tensor2(format!("{prefix}proj.{layer}.weight")).transpose();
            let [from, to] = weight.dims();
            let mut linear: Linear = LinearConfig::new(from, to).init(device);
            linear.weight = Param::from_tensor(weight);
            let bias = golden.tensor::<1>(&format!("{prefix}proj.{layer}.bias"), device);
            linear.bias = Some(Param::from_tensor(bias));
            linear
        })
        .collect();
    let (method, model) = Singer::with_adapters(teacher, student, adapters, settings, 0).unwrap();
    (Distillation::new(method), SingerModel { projections, ..model })
}

fn losses_and_gradients_equal_the_reference_form(device: &Device) {
    for (name, json) in cases("singer") {
        check_case(&format!("singer/{name}"), &json, &json, LossForm::Reference, device);
    }
}

fn losses_and_gradients_equal_the_paper_form(device: &Device) {
    let (_, shapes) = cases("singer").swap_remove(0);
    for (name, json) in cases("singer/paper") {
        check_case(&format!("singer/paper/{name}"), &json, &shapes, LossForm::Paper, device);
    }
}

fn check_case(part: &str, json: &Value, shapes: &Value, form: LossForm, device: &Device) {
    let device = &device.clone().autodiff();
    let golden = Golden::open(part);
    let (teacher, student, image) = models(shapes, device);
    let settings = settings(json, form);
    let (task, model) = method((teacher, student), &settings, &golden, "", device);
    let refinement = task.method.refinement();
    let layers = refinement.layers().to_vec();
    let mapped: Vec<Value> = task.method.student_layers().iter().map(|&l| l.into()).collect();
    assert_eq!(json["student_layers"].as_array().unwrap(), &mapped, "{part}: mapping");

    let features = refinement.features(image.clone());
    for ((layer, tokens), next) in layers.iter().zip(&features.layers).zip(&features.next) {
        let name = format!("teacher.{layer}");
        if golden.has(&name) {
            golden.assert_close(&name, tokens.clone(), 1e-4);
        }
        let name = format!("next.{layer}");
        if let (Some(next), true) = (next, golden.has(&name)) {
            golden.assert_close(&name, next.clone(), 1e-4);
        }
    }
    let pixels = as_constant(image.clone(), device);
    let tokens = model.student.intermediate(pixels, task.method.student_layers());
    let refined = refinement.refine(&model.adapters, features);
    for (((layer, refined), tokens), projection) in
        layers.iter().zip(refined).zip(tokens).zip(&model.projections)
    {
        golden.assert_close(&format!("refined.{layer}"), refined.tokens.inner(), 1e-4);
        let projected = projection.forward(tokens.clone()).inner();
        golden.assert_close(&format!("projected.{layer}"), projected, 1e-4);
        let name = format!("student.{layer}");
        if golden.has(&name) {
            golden.assert_close(&name, tokens.inner(), 1e-4);
        }
        let threshold = refined.outliers.threshold.inner().squeeze_dim::<1>(1);
        golden.assert_close(&format!("quantile.{layer}"), threshold, 1e-4);
        let name = format!("next_refined.{layer}");
        if let (Some(next), true) = (refined.next, golden.has(&name)) {
            golden.assert_close(&name, next.inner(), 1e-4);
        }
    }

    let labels = vec![0; image.dims()[0]];
    let (loss, grads) = Shards::one().backward(&task, &model, device, &image, &labels, 0);
    let total = loss.total();
    let names = ["loss_kd", "loss_outlier", "loss_info"];
    let terms = names.iter().zip(loss.terms).map(|(name, (_, value))| (*name, value));
    for (name, value) in terms.chain([("total", total)]) {
        let value: f64 = value.into_scalar::<f32>().into();
        golden.assert_relative(&format!("loss.{name}"), &[value], 1e-4);
    }

    let ours = by_timm_name(&model, Some(&grads));
    let mut compared = 0;
    for name in golden.names().filter(|name| name.starts_with("grad.")) {
        let wanted = our_name(name.trim_start_matches("grad."), &layers);
        let grad = ours.get(&wanted).unwrap_or_else(|| panic!("{part}: no gradient for {wanted}"));
        if let Some(third) = name.contains("qkv.bias").then_some(grad.len() / 3) {
            // The K third is zero in exact arithmetic: only its size can be checked.
            let scale = grad.iter().map(|g| g * g).sum::<f64>().sqrt();
            let noise = grad[third..2 * third].iter().map(|g| g * g).sum::<f64>().sqrt();
            assert!(noise <= 1e-4 * scale, "{part}: {name} has {noise:.1e} in its K third");
        }
        golden.assert_relative(name, grad, 1e-3);
        compared += 1;
    }
    assert_eq!(compared, ours.len(), "{part}: the reference has gradients for other parameters");
}

/// `adapter.17.down` to `adapters.0.down`: by place instead of by layer.
pub(crate) fn our_name(name: &str, layers: &[usize]) -> String {
    let mut parts = name.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(kind @ ("adapter" | "proj")), Some(layer), Some(rest)) => {
            let place = layers.iter().position(|l| l.to_string() == layer).unwrap();
            let kind = if kind == "adapter" { "adapters" } else { "projections" };
            format!("{kind}.{place}.{rest}")
        }
        _ => name.to_owned(),
    }
}

fn select(teacher: &Vit, layer: usize, kind: BasisKind, json: &Value) -> Basis {
    let reader = next_block(layer, teacher.depth());
    let selection = Selection {
        kind,
        rank: json["rank"].as_u64().unwrap() as usize,
        threshold: json["null_threshold"].as_f64().unwrap_or(0.05),
        seed: 0,
    };
    Basis::select(&Linearised::of(&teacher.blocks[reader]), &selection, reader).unwrap()
}

/// N N^T, row-major.
fn projector(basis: &Basis) -> Vec<f64> {
    let (dim, rank, vectors) = (basis.dim(), basis.rank(), basis.to_rows());
    let entry = |i: usize, j: usize| -> f64 {
        (0..rank).map(|k| vectors[i * rank + k] * vectors[j * rank + k]).sum()
    };
    (0..dim * dim).map(|i| entry(i / dim, i % dim)).collect()
}

#[test]
fn the_smallest_basis_and_its_residual_equal_the_paper_form() {
    let device = crate::golden::device("cpu");
    let (_, shapes) = cases("singer").swap_remove(0);
    let (teacher, _, _) = models(&shapes, &device);
    for (name, json) in cases("singer/paper") {
        let golden = Golden::open(&format!("singer/paper/{name}"));
        for layer in json["layers"].as_array().unwrap() {
            let layer = layer.as_u64().unwrap() as usize;
            let basis = select(&teacher, layer, BasisKind::Smallest, &json);
            golden.assert_relative(&format!("projector.{layer}"), &projector(&basis), 1e-4);
            let rank = basis.rank();
            let sigma = basis.spectrum[basis.spectrum.len() - rank];
            assert!((basis.residual - sigma).abs() <= 1e-12 * basis.spectrum[0].max(1.0));
        }
    }
}

#[test]
fn the_spectrum_and_the_threshold_basis_equal_the_reference_form() {
    let device = crate::golden::device("cpu");
    for (name, json) in cases("singer") {
        let (teacher, _, _) = models(&json, &device);
        let golden = Golden::open(&format!("singer/{name}"));
        for layer in json["layers"].as_array().unwrap() {
            let layer = layer.as_u64().unwrap() as usize;
            let basis = select(&teacher, layer, BasisKind::Threshold, &json);
            golden.assert_relative(&format!("spectrum.{layer}"), &basis.spectrum, 1e-5);
            let below = json["singular_values_below"][layer.to_string()].as_u64().unwrap() as usize;
            let found = basis.rank() - basis.random_columns;
            assert_eq!(found, below.min(basis.rank()), "{name} layer {layer}");
            let name = format!("adapter.{layer}.down");
            if golden.has(&name) && basis.random_columns == 0 {
                let down = golden.values(&name);
                let (dim, rank) = (basis.dim(), basis.rank());
                let mut theirs = vec![0.0; dim * dim];
                for i in 0..dim {
                    for j in 0..dim {
                        theirs[i * dim + j] =
                            (0..rank).map(|k| down[i * rank + k] * down[j * rank + k]).sum();
                    }
                }
                let ours = projector(&basis);
                let difference =
                    ours.iter().zip(&theirs).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                assert!(
                    difference <= 1e-4 * (rank as f64).sqrt(),
                    "{name}: projectors differ by {difference:.1e}"
                );
            }
        }
    }
}

on_both_devices!(
    losses_and_gradients_equal_the_reference_form,
    losses_and_gradients_equal_the_paper_form,
);
