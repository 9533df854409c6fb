use serde_json::Value;
use singer::probe::metrics::{Confusion, DepthErrors, DepthScores, TopK};

use crate::golden::{Golden, json, own_folder};

fn scores() -> Value {
    json(&own_folder().join("metrics/scores.json"))
}

fn close(name: &str, ours: f64, golden: &Value, tolerance: f64) {
    let golden = golden.as_f64().unwrap();
    assert!((ours - golden).abs() <= tolerance, "{name}: {ours} for {golden}");
}

fn numbers<T: TryFrom<i64>>(golden: &Golden, name: &str) -> Vec<T> {
    golden.values(name).iter().map(|&v| T::try_from(v as i64).ok().unwrap()).collect()
}

#[test]
fn accuracies_equal_torchmetrics_with_ties_going_to_the_lower_class() {
    let arrays = Golden::own("metrics/arrays");
    for (name, case) in scores()["accuracy"].as_object().unwrap() {
        let classes = case["classes"].as_u64().unwrap() as usize;
        let rows: Vec<f32> =
            arrays.data(&format!("accuracy.{name}.scores")).iter::<f32>().collect();
        let labels: Vec<usize> = numbers(&arrays, &format!("accuracy.{name}.labels"));
        let mut counts = TopK::default();
        for (row, &label) in rows.chunks(classes).zip(&labels) {
            counts.add(row, label);
        }
        assert_eq!(counts.total(), labels.len());
        close(&format!("{name} top-1"), counts.top1(), &case["top1"], 1e-9);
        close(&format!("{name} top-5"), counts.top5(), &case["top5"], 1e-9);
    }
}

#[test]
fn segmentation_scores_equal_torchmetrics_with_absent_classes_and_ignored_pixels() {
    let arrays = Golden::own("metrics/arrays");
    let scores = scores();
    let cases = scores["segmentation"].as_object().unwrap();
    assert_eq!(cases.len(), 3);
    for (name, case) in cases {
        let truth: Vec<u16> = numbers(&arrays, &format!("segmentation.{name}.truth"));
        let prediction: Vec<u16> = numbers(&arrays, &format!("segmentation.{name}.prediction"));
        // In parts, as a set of images comes.
        let mut confusion = Confusion::new(case["classes"].as_u64().unwrap() as usize);
        for (truth, prediction) in truth.chunks(100).zip(prediction.chunks(100)) {
            confusion.add(truth, prediction);
        }
        let ours = confusion.scores();
        close(&format!("{name} mIoU"), ours.miou, &case["miou"], 1e-6);
        close(&format!("{name} pixels"), ours.pixel_accuracy, &case["pixel_accuracy"], 1e-6);
        close(&format!("{name} mean"), ours.mean_accuracy, &case["mean_accuracy"], 1e-6);
        for (key, ours) in [("class_iou", ours.class_iou), ("class_accuracy", ours.class_accuracy)]
        {
            for (class, (ours, golden)) in
                ours.iter().zip(case[key].as_array().unwrap()).enumerate()
            {
                match ours {
                    Some(ours) => close(&format!("{name} {key} {class}"), *ours, golden, 1e-6),
                    None => assert!(golden.is_null(), "{name} {key} {class}: absent for {golden}"),
                }
            }
        }
    }
}

#[test]
fn depth_errors_equal_torchmetrics_over_pixels_of_known_depth() {
    let arrays = Golden::own("metrics/arrays");
    let golden = &scores()["depth"];
    let of = |name: &str| -> Vec<f32> { arrays.data(name).iter::<f32>().collect() };
    let (truth, prediction) = (of("depth.truth"), of("depth.prediction"));
    let compare = |ours: DepthScores, golden: &Value| {
        close("RMSE", ours.rmse, &golden["rmse"], 1e-5);
        close("MAE", ours.mae, &golden["mae"], 1e-5);
        close("REL", ours.rel, &golden["rel"], 1e-5);
        for (ours, golden) in ours.delta.into_iter().zip(golden["delta"].as_array().unwrap()) {
            close("delta", ours, golden, 1e-9);
        }
    };
    let limit = golden["max_depth"].as_f64().unwrap() as f32;
    let images = golden["images"].as_array().unwrap();
    let size = truth.len() / images.len();
    let mut all = DepthErrors::default();
    for ((truth, prediction), golden) in truth.chunks(size).zip(prediction.chunks(size)).zip(images)
    {
        let mut one = DepthErrors::default();
        one.add(truth, prediction, limit);
        compare(one.scores().unwrap(), golden);
        all.merge(&one);
    }
    let all = all.scores().unwrap();
    assert_eq!(all.pixels, golden["pixels"].as_u64().unwrap());
    compare(all, &golden["all"]);
}
