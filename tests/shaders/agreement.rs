//! Shader, burn operation on the same device, and f64 on the host.

use burn::tensor::{Tensor, TensorData};
use singer::distill::singer::{gram, gram_mse};
use singer::refine::Adapter;
use singer::tokens::{patch_norms, quantile};

use crate::reference;
use crate::support::{Batch, assert_close, host, normal, pick, software, widened};

/// Images, tokens, width, prefix: tiny, odd, one beyond a tile, not multiples of 4.
const SHAPES: [[usize; 4]; 7] = [
    [1, 2, 4, 1],
    [1, 1, 1, 0],
    [3, 6, 7, 1],
    [2, 198, 192, 2],
    [5, 66, 65, 1],
    [1, 129, 130, 0],
    [2, 257, 384, 5],
];

fn batches() -> impl Iterator<Item = Batch> {
    SHAPES.iter().enumerate().flat_map(|(seed, &shape)| {
        let batch = Batch::new(shape, seed as u64);
        [batch.clone(), batch.with_extremes(1e4)]
    })
}

#[test]
fn patch_norms_agree_with_burn_and_f64_to_1e_5() {
    let (opened, maps) = software();
    for batch in batches() {
        let tokens = batch.tensor(opened.burn());
        let found = host(maps.norms(tokens.clone(), batch.prefix).unwrap());
        for (&found, wanted) in found.iter().zip(reference::norms(&batch)) {
            assert!((f64::from(found) - wanted).abs() <= 1e-5 * wanted, "{found} is not {wanted}");
        }
        let burns = widened(&host(patch_norms(tokens, batch.prefix)));
        assert_close("burn", &found, &burns, 1e-5);
    }
}

#[test]
fn refined_tokens_agree_with_burn_and_f64_to_1e_5() {
    let (opened, maps) = software();
    for (seed, batch) in batches().enumerate() {
        for rank in [1, 20, 64, 65, 256] {
            let dim = batch.dim;
            let scale = 1.0 / (dim as f32).sqrt();
            let weights = |seed: u64| -> Vec<f32> {
                normal(dim * rank, seed).into_iter().map(|value| value * scale).collect()
            };
            let (down, up) = (weights(100 + seed as u64), weights(200 + seed as u64));
            let tensor = |values: &[f32], shape: [usize; 2]| {
                Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), opened.burn())
            };
            let (down_tensor, up_tensor) = (tensor(&down, [dim, rank]), tensor(&up, [rank, dim]));
            let tokens = batch.tensor(opened.burn());
            let adapter = Adapter::from_parts(down_tensor, up_tensor, None);
            let found = host(maps.refine(tokens.clone(), &adapter, batch.prefix).unwrap());
            let burns = host(adapter.forward(tokens, batch.prefix));
            for (index, token) in batch.values.chunks(dim).enumerate() {
                let part = index * dim..(index + 1) * dim;
                if index % batch.tokens < batch.prefix {
                    assert_eq!(&found[part], token, "a prefix token changed");
                    continue;
                }
                let wanted = reference::refine(token, &down, &up, rank);
                assert_close("f64", &found[part.clone()], &wanted, 1e-5);
                assert_close("burn", &found[part.clone()], &widened(&burns[part]), 1e-5);
            }
        }
    }
}

#[test]
fn quantiles_masks_and_counts_are_exact() {
    let (opened, maps) = software();
    for (seed, [images, patches]) in
        [[1, 1], [1, 2], [3, 7], [4, 196], [2, 255], [2, 256], [2, 257], [3, 1369]]
            .iter()
            .enumerate()
    {
        let mut norms: Vec<f32> =
            normal(images * patches, seed as u64).into_iter().map(f32::abs).collect();
        // Ties, zeros and a norm of 1e4.
        for index in (0..norms.len()).step_by(5) {
            norms[index] = norms[index / 5];
        }
        norms[0] = 0.0;
        if norms.len() > 3 {
            norms[3] = 1e4;
        }
        let tensor = Tensor::<2>::from_data(
            TensorData::new(norms.clone(), [*images, *patches]),
            opened.burn(),
        );
        for q in [0.0, 0.25, 0.5, 0.9, 0.97, 0.999, 1.0] {
            let found = maps.outliers(tensor.clone(), q).unwrap();
            let burns = host(quantile(tensor.clone(), q));
            let thresholds = host(found.threshold);
            let (mask, counts) = (host(found.mask), host(found.count));
            for (image, row) in norms.chunks(*patches).enumerate() {
                let (found, wanted) = (thresholds[image], reference::quantile(row, q));
                let position = q * (*patches - 1) as f64;
                if position.fract() == 0.0 {
                    assert_eq!(f64::from(found), wanted, "{patches} patches, q {q}");
                } else {
                    let apart = (f64::from(found) - wanted).abs();
                    assert!(apart <= 2.0 * f64::from(f32::EPSILON) * wanted, "{found}, {wanted}");
                }
                assert!((found - burns[image]).abs() <= f32::EPSILON * found.abs());
                let above: Vec<f32> =
                    row.iter().map(|&norm| if norm > found { 1.0 } else { 0.0 }).collect();
                assert_eq!(mask[image * patches..(image + 1) * patches], above);
                assert_eq!(counts[image], above.iter().sum::<f32>());
            }
        }
    }
}

#[test]
fn quantiles_equal_the_reference_implementations() {
    let (opened, maps) = software();
    let text = include_str!("../golden/quantile.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let numbers = |key: &str| -> Vec<f32> {
            case[key].as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32).collect()
        };
        // Norms are not negative: shift the values, which shifts the quantile alike.
        let values = numbers("values");
        let least = values.iter().copied().fold(0.0, f32::min);
        let shifted: Vec<f32> = values.iter().map(|value| value - least).collect();
        let count = shifted.len();
        let tensor = Tensor::<2>::from_data(TensorData::new(shifted, [1, count]), opened.burn());
        let q = case["q"].as_f64().unwrap();
        let found = host(maps.outliers(tensor, q).unwrap().threshold)[0];
        let wanted = case["quantile"].as_f64().unwrap() as f32 - least;
        assert!((found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{found} is not {wanted}");
    }
}

#[test]
fn cosine_maps_agree_with_f64_to_1e_5() {
    let (opened, maps) = software();
    for (seed, batch) in batches().enumerate() {
        let marked: Vec<usize> =
            (0..batch.images).map(|i| pick(batch.patches(), (seed * 10 + i) as u64)).collect();
        let tokens = batch.tensor(opened.burn());
        let to = host(maps.cosine_to(tokens.clone(), &marked, batch.prefix).unwrap());
        let wanted = reference::each_patch(&batch, |image, patch| {
            reference::cosine(batch.patch(image, patch), batch.patch(image, marked[image]))
        });
        for (found, wanted) in to.iter().zip(wanted) {
            assert!((f64::from(*found) - wanted).abs() <= 1e-5, "{found} is not {wanted}");
        }
        // Against a map with another number of prefix tokens, and against itself.
        let shape = [batch.images, batch.patches() + 3, batch.dim, 3];
        let other = Batch::new(shape, 900 + seed as u64);
        let other_tokens = other.tensor(opened.burn());
        let prefix = [batch.prefix, other.prefix];
        let between = host(maps.cosine_between(tokens.clone(), other_tokens, prefix).unwrap());
        let wanted = reference::each_patch(&batch, |image, patch| {
            reference::cosine(batch.patch(image, patch), other.patch(image, patch))
        });
        for (found, wanted) in between.iter().zip(wanted) {
            assert!((f64::from(*found) - wanted).abs() <= 1e-5, "{found} is not {wanted}");
        }
        let own = maps.cosine_between(tokens.clone(), tokens, [batch.prefix; 2]).unwrap();
        for (index, found) in host(own).into_iter().enumerate() {
            let patch = batch.patch(index / batch.patches(), index % batch.patches());
            let wanted = if reference::norm(patch) == 0.0 { 0.0 } else { 1.0 };
            assert!((found - wanted).abs() <= 1e-5, "{found} is not {wanted}");
        }
    }
}

#[test]
fn gram_matrices_agree_with_burn_and_f64_to_1e_5() {
    let (opened, maps) = software();
    for batch in batches() {
        let tokens = batch.tensor(opened.burn());
        let found = host(maps.gram(tokens.clone(), batch.prefix).unwrap());
        assert_close("f64", &found, &reference::gram(&batch), 1e-5);
        let burns = widened(&host(gram(tokens, batch.prefix)));
        assert_close("burn", &found, &burns, 1e-5);
    }
}

#[test]
fn gram_distances_agree_with_burn_and_f64_to_1e_5() {
    let (opened, maps) = software();
    for (seed, batch) in batches().enumerate() {
        let shape = [batch.images, batch.tokens, batch.dim, batch.prefix];
        let other = Batch::new(shape, 500 + seed as u64);
        let (a, b) = (batch.tensor(opened.burn()), other.tensor(opened.burn()));
        let found = host(maps.gram_distance(a.clone(), b.clone(), batch.prefix).unwrap());
        let (of_a, of_b) = (reference::gram(&batch), reference::gram(&other));
        let size = batch.patches() * batch.patches();
        let wanted: Vec<f64> = of_a
            .chunks(size)
            .zip(of_b.chunks(size))
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / size as f64)
            .collect();
        for (&found, &wanted) in found.iter().zip(&wanted) {
            let apart = (f64::from(found) - wanted).abs();
            assert!(apart <= 1e-5 * wanted + 1e-12, "{found} is not {wanted}");
        }
        let burns = host(gram_mse(a.clone(), b, batch.prefix))[0];
        let mean = found.iter().sum::<f32>() / found.len() as f32;
        assert!((mean - burns).abs() <= 1e-5 * burns + 1e-10, "{mean} is not {burns}");
        let own = host(maps.gram_distance(a.clone(), a, batch.prefix).unwrap());
        assert!(own.iter().all(|&value| value == 0.0), "a matrix differs from itself: {own:?}");
    }
}

#[test]
fn views_that_are_not_contiguous_are_read_right() {
    let (opened, maps) = software();
    let batch = Batch::new([2, 20, 24, 2], 7);
    let tokens = batch.tensor(opened.burn());
    // The same values as a view of memory in the order [B, D, T].
    let stored = tokens.clone().swap_dims(1, 2).into_data();
    let turned = Tensor::<3>::from_data(stored, opened.burn()).swap_dims(1, 2);
    assert_eq!(host(maps.norms(turned, 2).unwrap()), host(maps.norms(tokens.clone(), 2).unwrap()));
    let cut = tokens.narrow(1, 5, 9);
    let found = host(maps.norms(cut, 0).unwrap());
    let wanted: Vec<f64> = (0..2)
        .flat_map(|image| (3..12).map(move |patch| (image, patch)))
        .map(|(image, patch)| reference::norm(batch.patch(image, patch)))
        .collect();
    assert_close("cut", &found, &wanted, 1e-5);
}
