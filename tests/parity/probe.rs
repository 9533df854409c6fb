use burn::tensor::{Device, Tensor, TensorData};
use singer::probe::{
    DepthBins, FeatureRows, HeadFitSettings, HeadTrainer, LinearHead, LossAt, MemoryRows, Resample,
    cross_entropy, nearest, pixel_loss, predict_depth, predict_labels,
};
use singer::train::OptimizerSettings;

use crate::golden::{Golden, json, own_folder};

fn golden() -> Golden {
    Golden::own("probe/tensors")
}

fn values(golden: &Golden, name: &str) -> Vec<f32> {
    golden.data(name).iter::<f32>().collect()
}

/// The first two dimensions.
fn sides(golden: &Golden, name: &str) -> [usize; 2] {
    let shape = golden.data(name).shape();
    [shape.as_slice()[0], shape.as_slice()[1]]
}

fn assert_near(name: &str, ours: &[f32], golden: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), golden.len(), "{name}");
    let worst = ours.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{name} differs by {worst:.2e}");
}

#[test]
fn bilinear_upsampling_equals_pytorch_also_twice_in_a_row() {
    let golden = golden();
    for case in 0..4 {
        let name = |part: &str| format!("upsampling.{case}.{part}");
        let map = values(&golden, &name("in"));
        let [from, fine, full] = ["in", "fine", "full"].map(|part| sides(&golden, &name(part)));
        assert_eq!(fine, from.map(|side| 4 * side));
        let ours = Resample::through(&[from, fine]).apply(&map, 2);
        assert_near(&name("fine"), &ours, &values(&golden, &name("fine")), 2e-6);
        let ours = Resample::through(&[from, fine, full]).apply(&map, 2);
        assert_near(&name("full"), &ours, &values(&golden, &name("full")), 2e-6);
        let labels = values(&golden, &name("labels"));
        assert_eq!(nearest(&labels, full, fine), values(&golden, &name("nearest")), "{case}");
    }
}

#[test]
fn the_loss_of_pixels_and_its_gradient_equal_pytorch() {
    let golden = golden();
    let logits = values(&golden, "pixels.logits");
    let (grid, size) = (sides(&golden, "pixels.logits"), sides(&golden, "pixels.labels"));
    let targets: Vec<Option<u16>> = values(&golden, "pixels.labels")
        .iter()
        .map(|&label| (label != 255.0).then_some(label as u16))
        .collect();
    for (name, at) in [("label", LossAt::Label), ("grid", LossAt::Grid)] {
        let (sum, count, gradient) = pixel_loss(&logits, grid, &targets, size, at);
        let loss = golden.values(&format!("pixels.{name}.loss"))[0];
        assert!((sum / count as f64 - loss).abs() < 1e-5, "{name}: {sum} over {count} for {loss}");
        let mean: Vec<f32> = gradient.iter().map(|value| value / count as f32).collect();
        let name = format!("pixels.{name}.gradient");
        assert_near(&name, &mean, &values(&golden, &name), 1e-7);
    }
    let predicted: Vec<f32> =
        predict_labels(&logits, grid, size).iter().map(|&class| f32::from(class)).collect();
    assert_eq!(predicted, values(&golden, "pixels.prediction"));
}

fn depth_equals_pytorch_where_the_head_comes_after_upsampling(device: &Device) {
    let golden = golden();
    let (patches, token) = (values(&golden, "depth.patches"), values(&golden, "depth.token"));
    let rows: Vec<f32> = patches.chunks(8).flat_map(|patch| [patch, &token].concat()).collect();
    let head = LinearHead {
        weight: golden.tensor("depth.weight", device),
        bias: golden.tensor("depth.bias", device),
    };
    let logits = head.outputs_of(rows).unwrap();
    let bins = DepthBins::default();
    for name in ["depth.fine", "depth.full"] {
        let ours = predict_depth(&logits, [3, 4], sides(&golden, name), &bins);
        assert_near(name, &ours, &values(&golden, name), 2e-4);
    }
}

fn twenty_steps_of_a_head_equal_pytorch(device: &Device) {
    let golden = golden();
    let facts = json(&own_folder().join("probe/heads.json"));
    let rows = MemoryRows { values: values(&golden, "head.rows"), rows: 1, dim: 7 };
    let labels = golden.values("head.labels");
    let steps = facts["steps"].as_u64().unwrap() as usize;
    let batch = facts["batch"].as_u64().unwrap() as usize;
    let optimizers = [
        ("sgd", OptimizerSettings::Sgd { lr: 0.5, momentum: 0.0, weight_decay: 0.0 }),
        ("momentum", OptimizerSettings::Sgd { lr: 0.5, momentum: 0.9, weight_decay: 1e-3 }),
        (
            "adamw",
            OptimizerSettings::Adamw {
                lr: 0.01,
                betas: [0.9, 0.999],
                eps: 1e-8,
                weight_decay: 1e-2,
            },
        ),
    ];
    for (name, optimizer) in optimizers {
        let mut settings = HeadFitSettings::default();
        settings.optimizer = optimizer;
        let start = LinearHead {
            weight: golden.tensor("head.start.weight", device),
            bias: golden.tensor("head.start.bias", device),
        };
        let mut trainer = HeadTrainer::new(start, &settings.optimizer);
        for step in 0..steps {
            let indices: Vec<usize> =
                (0..batch).map(|i| (step * batch + i) % labels.len()).collect();
            let inputs = trainer.head.tensor(rows.gather(&indices));
            let mut gradient =
                singer::readback::read(trainer.head.forward(inputs.clone())).unwrap();
            let targets = indices.iter().map(|&index| Some(labels[index] as usize));
            cross_entropy(&mut gradient, 5, targets);
            gradient.iter_mut().for_each(|value| *value /= batch as f32);
            let rate = settings.rate(step, steps);
            let theirs = facts[name][step].as_f64().unwrap();
            assert!((rate - theirs).abs() < 1e-9, "{name}, step {step}: lr {rate} for {theirs}");
            let gradient = Tensor::from_data(TensorData::new(gradient, [batch, 5]), device);
            trainer.step(inputs, gradient, rate);
        }
        golden.assert_close(&format!("head.{name}.weight"), trainer.head.weight, 1e-4);
        golden.assert_close(&format!("head.{name}.bias"), trainer.head.bias, 1e-4);
    }
}

on_both_devices!(
    depth_equals_pytorch_where_the_head_comes_after_upsampling,
    twenty_steps_of_a_head_equal_pytorch,
);
