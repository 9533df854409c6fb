//! Principal components and k-means as scikit-learn's, the turned colours as SciPy's, attention as
//! timm's: `tests/golden/maps/make.py`.

use burn::tensor::Device;
use singer::maps::{HeldFeatures, Pca, PcaColours, SegmentSettings, Segments};

use crate::golden::{Golden, json, load_vit, own_folder, vit_config};

on_both_devices!(attention_rows_equal_timms_in_every_block);

const GRIDS: [[usize; 2]; 3] = [[8, 10], [9, 9], [6, 12]];

fn features(golden: &Golden, name: &str) -> HeldFeatures {
    let dim = golden.data(name).shape()[1];
    let values: Vec<f32> = golden.values(name).into_iter().map(|value| value as f32).collect();
    let (mut features, mut rest) = (HeldFeatures::new(dim), &values[..]);
    for grid in GRIDS {
        let (own, after) = rest.split_at(grid[0] * grid[1] * dim);
        features.push(grid, own.to_vec()).unwrap();
        rest = after;
    }
    assert!(rest.is_empty());
    features
}

/// The largest difference to a golden tensor, whose −1 stands for background.
fn worst(golden: &Golden, name: &str, ours: &[f64]) -> f64 {
    let theirs = golden.values(name);
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let differences = ours.iter().zip(theirs).map(|(ours, theirs)| match ours.is_nan() {
        true => (theirs + 1.0).abs(),
        false => (ours - theirs).abs(),
    });
    differences.fold(0.0, f64::max)
}

fn flat(values: &[Vec<[f32; 3]>]) -> Vec<f64> {
    values.iter().flatten().flatten().map(|value| f64::from(*value)).collect()
}

#[test]
fn principal_components_and_their_colours_equal_scikit_learns() {
    let golden = Golden::own("maps/sets");
    let (own, other) = (features(&golden, "own"), features(&golden, "other"));
    for (name, threshold) in [("all", None), ("foreground", Some(0.25))] {
        let colours = PcaColours::fit(&own, threshold).unwrap();
        let Pca { mean, components, variances } = &colours.pca;
        let named = |part: &str| format!("{name}.{part}");
        let components: Vec<f64> = components.iter().flatten().copied().collect();
        assert!(worst(&golden, &named("mean"), mean) < 1e-6);
        assert!(worst(&golden, &named("components"), &components) < 1e-6);
        assert!(worst(&golden, &named("variances"), variances) < 1e-5);
        assert!(worst(&golden, &named("colours"), &flat(&colours.colours(&own).unwrap())) < 1e-5);
        let turned = colours.turned_colours(&own, &other).unwrap();
        assert!(worst(&golden, &named("turned"), &flat(&turned)) < 1e-4);
        if let Some(foreground) = colours.foreground {
            let mask: Vec<f64> =
                foreground.iter().flatten().map(|&kept| f64::from(u8::from(kept))).collect();
            assert_eq!(worst(&golden, "mask", &mask), 0.0);
            let share = mask.iter().sum::<f64>() / mask.len() as f64;
            assert!((0.1..0.6).contains(&share), "{share} in the foreground");
        }
    }
}

#[test]
fn k_means_equals_scikit_learns_from_the_same_centres() {
    let golden = Golden::own("maps/sets");
    let own = features(&golden, "own");
    for (name, unit_length) in [("plain", false), ("unit", true)] {
        let start = golden.values(&format!("{name}.start"));
        let start = start.chunks(20).map(<[f64]>::to_vec).collect();
        let settings = SegmentSettings::default().with(|s| s.unit_length = unit_length);
        let found = Segments::from_centres(&own, start, &settings).unwrap();
        let labels: Vec<f64> = found.labels.iter().flatten().map(|&label| label as f64).collect();
        assert_eq!(worst(&golden, &format!("{name}.labels"), &labels), 0.0);
        let centres: Vec<f64> = found.centres.iter().flatten().copied().collect();
        assert!(worst(&golden, &format!("{name}.centres"), &centres) < 1e-6);
        let inertia = golden.values(&format!("{name}.inertia"))[0];
        assert!((found.inertia / inertia - 1.0).abs() < 1e-6);
        // From centres of its own it finds no worse segments than from those poor ones.
        let fitted = Segments::fit(&own, &settings.with(|s| s.count = 5)).unwrap();
        assert!(fitted.inertia < inertia * 1.2, "{} {inertia}", fitted.inertia);
    }
}

fn attention_rows_equal_timms_in_every_block(device: &Device) {
    let attention = Golden::own("maps/attention");
    for name in ["vit_augreg", "dinov2_reg4", "eva02"] {
        let weights = Golden::own(&format!("vit/{name}"));
        let told = json(&own_folder().join(format!("vit/{name}.json")));
        let image = Golden::own(&format!("vit/{name}.io")).tensor::<4>("image", device);
        let [_, _, height, width] = image.dims();
        let config = vit_config(&weights, &told, [height, width]);
        let vit = load_vit(&format!("vit/{name}"), &config, device);
        let mut tokens = vit.embed(image);
        for (index, block) in vit.blocks.iter().enumerate() {
            let all: Vec<usize> = (0..tokens.dims()[1]).collect();
            let rows = block.attention_rows(tokens.clone(), &all).unwrap();
            attention.assert_close(&format!("{name}.{index}"), rows.clone(), 1e-5);
            let some = block.attention_rows(tokens.clone(), &[3, 0]).unwrap();
            let difference = (some.narrow(2, 0, 1) - rows.narrow(2, 3, 1)).abs().max();
            assert!(difference.into_scalar::<f32>() < 1e-6, "{name}: rows by themselves");
            tokens = vit.forward_blocks(tokens, index..index + 1);
        }
        let beyond = tokens.dims()[1];
        let error = vit.blocks[0].attention_rows(tokens, &[beyond]).unwrap_err().to_string();
        assert!(error.contains(&format!("the tokens are 0 to {}", beyond - 1)), "{error}");
    }
}
