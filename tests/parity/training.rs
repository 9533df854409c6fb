use burn::module::Module;
use burn::tensor::Device;
use singer::distill::singer::LossForm;
use singer::train::{OptimizerSettings, ParamOptimizer, Shards};

use crate::golden::{Golden, by_timm_name, cases};
use crate::singer::{method, models, our_name, settings};

fn twenty_adamw_steps_equal_the_reference(device: &Device) {
    let device = &device.clone().autodiff();
    let pairs = cases("singer");
    for (name, run) in cases("train") {
        let json = &pairs.iter().find(|(case, _)| *case == run["case"]).expect("the run's case").1;
        let golden = Golden::open(&format!("train/{name}"));
        let (teacher, student, image) = models(json, device);
        let settings = settings(json, LossForm::Reference);
        let (task, mut model) = method((teacher, student), &settings, &golden, "init.", device);
        let layers = task.method.refinement().layers().to_vec();
        let labels = vec![0; image.dims()[0]];

        let number = |name: &str| run["optimizer"][name].as_f64().unwrap();
        let betas = &run["optimizer"]["betas"];
        let lr = number("lr");
        let mut optimizer = ParamOptimizer::new(&OptimizerSettings::Adamw {
            lr,
            betas: [betas[0].as_f64().unwrap() as f32, betas[1].as_f64().unwrap() as f32],
            eps: number("eps") as f32,
            weight_decay: number("weight_decay") as f32,
        });
        for (step, wanted) in run["losses"].as_array().unwrap().iter().enumerate() {
            let (loss, grads) =
                Shards::one().backward(&task, &model, device, &image, &labels, step);
            for (term, (_, value)) in
                ["loss_kd", "loss_outlier", "loss_info"].iter().zip(loss.terms)
            {
                let ours: f64 = value.into_scalar::<f32>().into();
                let golden = wanted[term].as_f64().unwrap();
                let relative = (ours - golden).abs() / golden.abs();
                assert!(relative <= 1e-3, "step {step}: {term} is {ours}, wanted {golden}");
            }
            model = optimizer.step(lr, model, grads, None);
        }

        let ours = by_timm_name(&model.valid(), None);
        for name in golden.names().filter(|name| name.starts_with("final.")) {
            let name_here = our_name(name.trim_start_matches("final."), &layers);
            let mut value = ours[&name_here].clone();
            let mut wanted = golden.values(name);
            if name.contains("qkv.bias") {
                // Adam turns the K third's rounding noise into steps.
                let third = value.len() / 3;
                value.drain(third..2 * third);
                wanted.drain(third..2 * third);
            }
            let difference: f64 = value.iter().zip(&wanted).map(|(a, b)| (a - b).powi(2)).sum();
            let norm: f64 = wanted.iter().map(|b| b * b).sum();
            let relative = (difference / norm.max(1e-30)).sqrt();
            assert!(relative <= 2e-3, "{name} differs by {relative:.1e} relative after training");
        }
    }
}

on_both_devices!(twenty_adamw_steps_equal_the_reference);
