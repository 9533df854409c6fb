//! Other people's treatments of artifacts against their authors' programs; `make.py` in
//! `tests/golden/treatments` says how the numbers came about.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use singer::data::Normalise;
use singer::refine::{
    Averaged, AveragedSettings, Detection, NeighbourSettings, Neighbours, RegisterNeuron,
    RegisterSettings, RegisterValue, Registers, View, defect_directions,
};
use singer::vit::Vit;

use crate::golden::{Golden, json, load_vit, own_folder, vit_config};

const MODELS: [&str; 3] = ["vit_augreg_strong", "clip_openai_strong", "tipsv2_g"];

fn model(name: &str, device: &Device) -> (Vit, Tensor<4>) {
    let part = format!("vit/{name}");
    let told = json(&own_folder().join(format!("{part}.json")));
    let image = Golden::own(&format!("{part}.io")).tensor::<4>("image", device);
    let [_, _, height, width] = image.dims();
    let config = vit_config(&Golden::own(&part), &told, [height, width]);
    (load_vit(&part, &config, device), image)
}

fn sinders_defect_directions_equal_its_program_up_to_its_random_inputs(device: &Device) {
    let golden = Golden::own("treatments/sinder");
    for name in MODELS {
        let (vit, _) = model(name, device);
        let layers: Vec<usize> = (0..vit.depth()).collect();
        let ours = defect_directions(&vit, &layers).unwrap();
        let theirs = golden.values(&format!("direction.{name}"));
        for (layer, theirs) in theirs.chunks(vit.embed_dim()).enumerate() {
            let cosine: f64 = ours[&layer].iter().zip(theirs).map(|(a, b)| f64::from(*a) * b).sum();
            assert!(cosine.abs() > 0.9995, "{name}, block {layer}: {cosine}");
        }
    }
}

fn sinders_outliers_and_their_target_equal_its_program(device: &Device) {
    let golden = Golden::own("treatments/sinder");
    let (tokens, grid) = (golden.tensor::<3>("tokens", device), [6, 7]);
    let d: Vec<f32> = golden.data("d").iter::<f32>().collect();
    let treated = |outliers| {
        let settings = NeighbourSettings::default().with(|s| s.outliers = outliers);
        let neighbours = Neighbours::along(BTreeMap::from([(0, d.clone())]), &settings, device);
        let treated = neighbours.unwrap().treat(0, tokens.clone(), 1, grid);
        treated.narrow(1, 1, 42).reshape([6, 7, 16])
    };
    // Half of all deviations are above the mean: what is replaced at all equals the target.
    let raw = tokens.clone().narrow(1, 1, 42).reshape([6, 7, 16]);
    let changed = |treated: Tensor<3>| -> Vec<bool> {
        let change = (treated - raw.clone()).abs().sum_dim(2).into_data();
        change.iter::<f32>().map(|change| change > 0.0).collect()
    };
    let found = treated(Detection::Angle { deviations: 1.5 });
    let mask: Vec<bool> = golden.values("mask").into_iter().map(|entry| entry == 1.0).collect();
    assert!(mask.iter().filter(|&&outlier| outlier).count() >= 3);
    assert_eq!(changed(found.clone()), mask);
    let (ours, theirs): (Vec<f64>, Vec<f64>) =
        (found.into_data().iter::<f64>().collect(), golden.values("mean"));
    for place in (0..42).filter(|&place| mask[place]) {
        let inner = (place / 7 - 1) * 5 + place % 7 - 1;
        let (ours, theirs) = (&ours[place * 16..][..16], &theirs[inner * 16..][..16]);
        let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-5, "patch {place} differs by {worst}");
    }
}

fn register_neurons_and_their_scores_equal_the_authors(device: &Device) {
    let told = json(&own_folder().join("treatments/registers.json"));
    for name in MODELS {
        let (vit, image) = model(name, device);
        for (key, sparse) in [("sparse", true), ("all", false)] {
            let expected = told[name][key].as_array().unwrap();
            let settings = RegisterSettings::default().with(|s| {
                s.neurons = expected.len();
                s.factor = told["factor"].as_f64().unwrap();
                s.detect = Some(vit.depth() - 1);
                s.last = Some(vit.depth() - 1);
                s.sparse = sparse;
            });
            let found = Registers::find(&vit, &vec![image.clone()], &settings).unwrap();
            assert_eq!(found.neurons().len(), expected.len());
            for (ours, theirs) in found.neurons().iter().zip(expected) {
                let theirs: RegisterNeuron = serde_json::from_value(theirs.clone()).unwrap();
                assert_eq!(
                    (ours.block, ours.neuron),
                    (theirs.block, theirs.neuron),
                    "{name} {key}"
                );
                assert!((ours.score - theirs.score).abs() < 1e-4 * theirs.score, "{name} {key}");
            }
        }
    }
}

fn a_pass_with_a_test_time_register_equals_the_authors(device: &Device) {
    let golden = Golden::own("treatments/registers");
    let told = json(&own_folder().join("treatments/registers.json"));
    for name in MODELS {
        let (vit, image) = model(name, device);
        let neurons: Vec<RegisterNeuron> =
            serde_json::from_value(told[name]["sparse"].clone()).unwrap();
        let layers: Vec<usize> = (0..vit.depth()).collect();
        let rules = [("each", RegisterValue::Each), ("largest", RegisterValue::Largest)];
        for (rule, value) in rules {
            let registers = Registers::of(&vit, neurons.clone(), value);
            let passes = registers.intermediate(&vit, image.clone(), &layers);
            let ours = passes.into_iter().map(|tokens| tokens.unsqueeze_dim::<4>(0)).collect();
            golden.assert_close(&format!("tokens.{name}.{rule}"), Tensor::cat(ours, 0), 2e-4);
        }
    }
}

fn averages_over_moved_views_equal_the_authors(device: &Device) {
    let golden = Golden::own("treatments/averaged");
    let told = json(&own_folder().join("treatments/averaged.json"));
    let views: Vec<View> = serde_json::from_value(told["views"].clone()).unwrap();
    let (vit, image) = model("vit_augreg_strong", device);
    let imagenet = Normalise { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    let averaged = Averaged::new(&AveragedSettings::default(), imagenet).unwrap();
    let tokens = averaged.over(&views, &vit, image.clone(), &[0, 1]);
    let own = vit.intermediate(image, &[0, 1]);
    for (layer, (tokens, own)) in tokens.into_iter().zip(own).enumerate() {
        let patches = tokens.clone().narrow(1, 1, 16);
        golden.assert_close(&format!("block.{layer}"), patches, 1e-4);
        let class = |tokens: Tensor<3>| tokens.narrow(1, 0, 1).into_data();
        assert_eq!(class(tokens), class(own), "the class token is the image's own");
    }
}

on_both_devices!(
    sinders_defect_directions_equal_its_program_up_to_its_random_inputs,
    sinders_outliers_and_their_target_equal_its_program,
    register_neurons_and_their_scores_equal_the_authors,
    a_pass_with_a_test_time_register_equals_the_authors,
    averages_over_moved_views_equal_the_authors,
);
