use burn::tensor::{Device, Tensor, TensorData};
use singer::distill::{Mapping, map_layers};
use singer::tokens::quantile;

use crate::golden::{folder, json};

#[test]
fn layers_map_as_in_the_reference() {
    let cases = json(&folder().join("mapping.json"));
    let numbers = |value: &serde_json::Value| -> Vec<usize> {
        value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
    };
    for case in cases.as_array().unwrap() {
        let layers = numbers(&case["layers"]);
        let golden = numbers(&case["student_layers"]);
        let teacher = case["teacher_depth"].as_u64().unwrap() as usize;
        let student = case["student_depth"].as_u64().unwrap() as usize;
        let ours = map_layers(&layers, teacher, student, Mapping::Reference).unwrap();
        if case["unique"] == true {
            assert_eq!(ours, golden, "{case}");
        }
        let cost = |mapped: &[usize]| -> f64 {
            let place = |block: usize| block as f64 / (student - 1).max(1) as f64;
            layers
                .iter()
                .zip(mapped)
                .map(|(&l, &m)| (l as f64 / teacher as f64 - place(m)).abs())
                .sum()
        };
        assert!((cost(&ours) - cost(&golden)).abs() < 1e-9, "{case}: {ours:?} costs more");
        let mut distinct = ours.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), ours.len(), "{case}: {ours:?} uses a block twice");
    }
}

#[test]
fn the_last_layer_maps_to_the_last_block_and_the_others_by_the_costs() {
    let mapped =
        |layers: &[usize], teacher, student| map_layers(layers, teacher, student, Mapping::Last);
    // By the costs alone, an equally deep teacher's last layer would go to blocks 4 and 10.
    assert_eq!(mapped(&[3, 5], 6, 6).unwrap(), [2, 5]);
    assert_eq!(mapped(&[11], 12, 12).unwrap(), [11]);
    assert_eq!(mapped(&[17, 23], 24, 12).unwrap(), [8, 11]);
    // The other layers take other blocks, and where the last is not asked for, costs decide.
    assert_eq!(mapped(&[0, 2], 12, 4).unwrap(), [0, 1]);
    assert_eq!(mapped(&[10, 11], 12, 2).unwrap(), [0, 1]);
    assert_eq!(mapped(&[0], 1, 1).unwrap(), [0]);
    assert!(mapped(&[9, 10, 11], 12, 2).is_err());
}

fn quantiles_equal_pytorch(device: &Device) {
    let cases = json(&folder().join("quantile.json"));
    for case in cases.as_array().unwrap() {
        let values: Vec<f32> =
            case["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let count = values.len();
        let row = Tensor::<2>::from_data(TensorData::new(values, [1, count]), device);
        let ours: f32 = quantile(row, case["q"].as_f64().unwrap()).into_scalar();
        let golden = case["quantile"].as_f64().unwrap();
        let difference = (f64::from(ours) - golden).abs();
        assert!(
            difference <= 1e-6 * golden.abs().max(1.0),
            "{count} values, q {}: {ours} for {golden}",
            case["q"]
        );
    }
}

on_both_devices!(quantiles_equal_pytorch);
