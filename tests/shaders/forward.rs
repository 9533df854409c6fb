//! The shaders of a ViT's forward pass, against the same formulae in f64.

use singer::gpu::{
    Activation, Attention, Gpu, LayerNorm, Linear, Recording, Residual, Rotary, Slice, Swiglu,
    Unfold,
};
use singer::{Error, Result};
use statrs::function::erf::erf;

use crate::support::{assert_close, gpu, normal};

fn upload(gpu: &Gpu, values: &[f32]) -> Slice {
    gpu.upload("values", values).unwrap()
}

/// What a recording writes into a new slice of `elements`, filled with NaN before.
fn written(
    gpu: &Gpu,
    elements: usize,
    record: impl FnOnce(&mut Recording, &Slice) -> Result<()>,
) -> Vec<f32> {
    let out = upload(gpu, &vec![f32::NAN; elements]);
    let mut recording = gpu.record();
    record(&mut recording, &out).unwrap();
    recording.submit().unwrap();
    gpu.read(&out).unwrap()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn normed(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f64) -> Vec<f64> {
    let dim = gamma.len();
    x.chunks(dim)
        .flat_map(|row| {
            let row = wide(row);
            let mean = row.iter().sum::<f64>() / dim as f64;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / dim as f64;
            let scale = (variance + epsilon).sqrt();
            let shaped = move |(d, v): (usize, f64)| {
                (v - mean) / scale * f64::from(gamma[d]) + f64::from(beta[d])
            };
            row.into_iter().enumerate().map(shaped)
        })
        .collect()
}

/// `x W + b`.
fn product(x: &[f32], weight: &[f32], bias: &[f32], inner: usize) -> Vec<f64> {
    let columns = bias.len();
    x.chunks(inner)
        .flat_map(|row| {
            (0..columns).map(move |column| {
                let terms = row.iter().enumerate();
                let sum: f64 = terms
                    .map(|(k, &x)| f64::from(x) * f64::from(weight[k * columns + column]))
                    .sum();
                sum + f64::from(bias[column])
            })
        })
        .collect()
}

#[test]
fn layer_norm_agrees_with_f64_to_1e_5_also_for_rows_far_from_zero() {
    let gpu = gpu(|_, _| {});
    for (seed, [rows, dim]) in [[1, 4], [9, 12], [65, 128], [3, 1536]].into_iter().enumerate() {
        let mut x = normal(rows * dim, seed as u64);
        // A channel like those of artifact tokens, and a row with a large mean.
        x[dim - 1] = 3000.0;
        x[(rows - 1) * dim..].iter_mut().for_each(|value| *value += 500.0);
        let (gamma, beta) = (normal(dim, 10), normal(dim, 11));
        let [gammas, betas] = [&gamma, &beta].map(|values| upload(&gpu, values));
        let layer = LayerNorm { gamma: &gammas, beta: &betas, dim, epsilon: 1e-6 };
        let tokens = upload(&gpu, &x);
        let found =
            written(&gpu, rows * dim, |recording, out| layer.record(recording, &tokens, rows, out));
        // f32 holds 500 + x to 3e-5.
        assert_close("layer_norm", &found, &normed(&x, &gamma, &beta, 1e-6), 3e-5);
    }
}

/// An activation, and its formula.
type Case = (Activation, fn(f64) -> f64);

/// Rows, K and N: tiny, one beyond a tile, not multiples of a tile.
const LINEARS: [[usize; 3]; 5] =
    [[1, 4, 4], [33, 20, 68], [65, 128, 384], [197, 36, 64], [7, 512, 132]];

#[test]
fn linear_layers_agree_with_f64_to_1e_5_with_every_activation() {
    let gpu = gpu(|_, _| {});
    for (seed, [rows, inner, columns]) in LINEARS.into_iter().enumerate() {
        let x = normal(rows * inner, seed as u64);
        let weight: Vec<f32> = normal(inner * columns, 20 + seed as u64)
            .into_iter()
            .map(|value| value * 3.0 / (inner as f32).sqrt())
            .collect();
        let bias = normal(columns, 30);
        let [xs, weights, biases] = [&x, &weight, &bias].map(|values| upload(&gpu, values));
        let layer = Linear { weight: &weights, bias: &biases, inner, columns, half: false };
        let plain = product(&x, &weight, &bias, inner);
        let tanh =
            |x: f64| 0.5 * x * (1.0 + (0.7978845608028654 * (x + 0.044715 * x.powi(3))).tanh());
        let cases: [Case; 4] = [
            (Activation::None, |x| x),
            (Activation::Gelu, |x| 0.5 * x * (1.0 + erf(x / 2.0_f64.sqrt()))),
            (Activation::GeluTanh, tanh),
            (Activation::QuickGelu, |x| x / (1.0 + (-1.702 * x).exp())),
        ];
        for (activation, exact) in cases {
            let found = written(&gpu, rows * columns, |recording, out| {
                layer.record(recording, &xs, rows, activation, out)
            });
            let wanted: Vec<f64> = plain.iter().map(|&value| exact(value)).collect();
            assert_close(&format!("{activation:?}"), &found, &wanted, 1e-5);
        }
    }
}

#[test]
fn activations_stay_finite_far_from_zero() {
    let gpu = gpu(|_, _| {});
    let x: Vec<f32> = [-1e30, -1e4, -90.0, -9.0, 9.0, 90.0, 1e4, 1e30].to_vec();
    let identity: Vec<f32> = (0..16).map(|i| f32::from(i % 5 == 0)).collect();
    let zeros = [0.0; 4];
    let [xs, weights, biases] =
        [x.as_slice(), &identity, &zeros].map(|values| upload(&gpu, values));
    let layer = Linear { weight: &weights, bias: &biases, inner: 4, columns: 4, half: false };
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu] {
        let found =
            written(&gpu, 8, |recording, out| layer.record(recording, &xs, 2, activation, out));
        for (found, x) in found.iter().zip(&x) {
            let wanted = x.max(0.0);
            let fits = (found - wanted).abs() <= 1e-5 * wanted.max(1.0);
            assert!(fits || (*x == -9.0 && found.abs() < 1e-5), "{activation:?}({x}) is {found}");
        }
    }
}

#[test]
fn a_residual_is_added_by_its_gain_and_repeats_over_the_batch() {
    let gpu = gpu(|_, _| {});
    for (seed, [rows, inner, columns]) in LINEARS.into_iter().enumerate() {
        let images = 3;
        let x = normal(images * rows * inner, seed as u64);
        let weight = normal(inner * columns, 40);
        let [bias, gain] = [41, 42].map(|seed| normal(columns, seed));
        let base = normal(rows * columns, 43);
        let [xs, weights, biases, gains, bases] =
            [&x, &weight, &bias, &gain, &base].map(|values| upload(&gpu, values));
        let layer = Linear { weight: &weights, bias: &biases, inner, columns, half: false };
        let found = written(&gpu, images * rows * columns, |recording, out| {
            let residual = Residual { slice: &bases, rows, gain: &gains };
            layer.record_residual(recording, &xs, images * rows, residual, out)
        });
        let wanted: Vec<f64> = product(&x, &weight, &bias, inner)
            .into_iter()
            .enumerate()
            .map(|(at, value)| {
                f64::from(base[at % (rows * columns)]) + f64::from(gain[at % columns]) * value
            })
            .collect();
        assert_close("linear_residual", &found, &wanted, 1e-5);
    }
}

fn attended(qkv: &[f32], shape: Attention) -> Vec<f64> {
    let Attention { images, tokens, heads, head_dim } = shape;
    let at = |image: usize, token: usize, part: usize, head: usize| {
        (((image * tokens + token) * 3 + part) * heads + head) * head_dim
    };
    let part = |start: usize| wide(&qkv[start..start + head_dim]);
    let mut out = Vec::new();
    for image in 0..images {
        for token in 0..tokens {
            for head in 0..heads {
                let query = part(at(image, token, 0, head));
                let scores: Vec<f64> = (0..tokens)
                    .map(|other| {
                        let key = part(at(image, other, 1, head));
                        let dot: f64 = query.iter().zip(key).map(|(q, k)| q * k).sum();
                        dot / (head_dim as f64).sqrt()
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
                let total: f64 = weights.iter().sum();
                let mut sum = vec![0.0; head_dim];
                for (other, weight) in weights.iter().enumerate() {
                    let value = part(at(image, other, 2, head));
                    sum.iter_mut().zip(value).for_each(|(sum, v)| *sum += weight / total * v);
                }
                out.extend(sum);
            }
        }
    }
    out
}

/// B, T, H and d: one token, one beyond a tile, every count of vectors of a head.
const HEADS: [[usize; 4]; 7] = [
    [1, 1, 1, 4],
    [2, 33, 2, 12],
    [1, 65, 4, 32],
    [2, 70, 3, 64],
    [1, 40, 2, 72],
    [1, 37, 2, 96],
    [1, 130, 1, 128],
];

#[test]
fn attention_agrees_with_f64_to_1e_5_also_where_scores_are_large() {
    let gpu = gpu(|_, _| {});
    for (seed, [images, tokens, heads, head_dim]) in HEADS.into_iter().enumerate() {
        let shape = Attention { images, tokens, heads, head_dim };
        for spread in [0.1, 1.0, 5.0] {
            let values = normal(3 * images * tokens * heads * head_dim, seed as u64);
            let qkv: Vec<f32> = values.into_iter().map(|value| value * spread).collect();
            let slice = upload(&gpu, &qkv);
            let found =
                written(&gpu, qkv.len() / 3, |recording, out| shape.record(recording, &slice, out));
            let what = format!("{tokens} tokens, {head_dim} channels, spread {spread}");
            assert_close(&what, &found, &attended(&qkv, shape), 2e-5);
        }
    }
}

#[test]
fn rotary_positions_rotate_queries_and_keys_of_patches_alone() {
    let gpu = gpu(|_, _| {});
    let (images, tokens, prefix, heads, head_dim) = (2, 11, 5, 3, 12);
    for interleaved in [false, true] {
        let rotary = Rotary { images, tokens, prefix, heads, head_dim, interleaved };
        let qkv = normal(3 * images * tokens * heads * head_dim, 1);
        let angles = normal((tokens - prefix) * head_dim, 2);
        let table = |of: fn(f32) -> f32| angles.iter().map(|&angle| of(angle)).collect::<Vec<_>>();
        let (sines, cosines) = (table(f32::sin), table(f32::cos));
        let [sine_slice, cosine_slice] = [&sines, &cosines].map(|values| upload(&gpu, values));
        let rotated = upload(&gpu, &qkv);
        let mut recording = gpu.record();
        rotary.record(&mut recording, &rotated, [&sine_slice, &cosine_slice]).unwrap();
        recording.submit().unwrap();
        let found: Vec<f32> = gpu.read(&rotated).unwrap();
        let half = head_dim / 2;
        for (at, (&found, &before)) in found.iter().zip(&qkv).enumerate() {
            let channel = at % head_dim;
            let part = at / head_dim / heads % 3;
            let token = at / head_dim / heads / 3 % tokens;
            if part == 2 || token < prefix {
                assert_eq!(
                    found.to_bits(),
                    before.to_bits(),
                    "a value or a class token was rotated"
                );
                continue;
            }
            let angle = (token - prefix) * head_dim + channel;
            let (first, apart) =
                if interleaved { (channel % 2 == 0, 1) } else { (channel < half, half) };
            let other = if first { -qkv[at + apart] } else { qkv[at - apart] };
            let wanted = f64::from(before) * f64::from(cosines[angle])
                + f64::from(other) * f64::from(sines[angle]);
            assert!((f64::from(found) - wanted).abs() < 1e-6, "{found} is not {wanted}");
        }
    }
}

#[test]
fn swiglu_gates_one_half_by_the_other() {
    let gpu = gpu(|_, _| {});
    for [rows, columns] in [[1, 4], [13, 20], [65, 256]] {
        let x: Vec<f32> = normal(2 * rows * columns, 3).into_iter().map(|x| 20.0 * x).collect();
        let slice = upload(&gpu, &x);
        let found = written(&gpu, rows * columns, |recording, out| {
            Swiglu::record(recording, &slice, [rows, columns], out)
        });
        let wanted: Vec<f64> = x
            .chunks(2 * columns)
            .flat_map(|row| {
                let row = wide(row);
                (0..columns)
                    .map(move |j| row[j] / (1.0 + (-row[j]).exp()) * row[columns + j])
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_close("swiglu", &found, &wanted, 1e-6);
    }
}

#[test]
fn unfolding_puts_every_pixel_of_a_patch_into_its_row() {
    let gpu = gpu(|_, _| {});
    for (size, patch_size, prefix) in [([4, 6], 2, 0), ([32, 48], 16, 1), ([28, 14], 14, 5)] {
        let unfold = Unfold { images: 2, size, patch_size, prefix };
        let [height, width] = size;
        let image: Vec<f32> = (0..2 * 3 * height * width).map(|at| at as f32).collect();
        let slice = upload(&gpu, &image);
        let (tokens, inner) = (unfold.tokens(), unfold.inner());
        let found = written(&gpu, 2 * tokens * inner, |recording, out| {
            unfold.record(recording, &slice, out)
        });
        for (at, &found) in found.iter().enumerate() {
            let (image, token, place) = (at / inner / tokens, at / inner % tokens, at % inner);
            let wanted = match token.checked_sub(prefix) {
                None => 0.0,
                Some(patch) => {
                    let across = width / patch_size;
                    let plane = place / (patch_size * patch_size);
                    let row = patch / across * patch_size + place / patch_size % patch_size;
                    let column = patch % across * patch_size + place % patch_size;
                    (((image * 3 + plane) * height + row) * width + column) as f32
                }
            };
            assert_eq!(found, wanted, "token {token}, place {place}");
        }
    }
}

#[test]
fn shapes_that_the_shaders_cannot_take_are_refused() {
    let gpu = gpu(|_, _| {});
    let slice = upload(&gpu, &[0.0; 64]);
    let mut recording = gpu.record();
    let refused = |result: Result<()>, part: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    let layer = LayerNorm { gamma: &slice, beta: &slice, dim: 6, epsilon: 1e-6 };
    refused(layer.record(&mut recording, &slice, 1, &slice), "6 is not a multiple of 4");
    let layer = Linear { weight: &slice, bias: &slice, inner: 8, columns: 12, half: false };
    refused(
        layer.record(&mut recording, &slice, 1, Activation::None, &slice),
        "256 bytes and needs 384",
    );
    let heads = Attention { images: 1, tokens: 1, heads: 1, head_dim: 132 };
    refused(heads.record(&mut recording, &slice, &slice), "132 channels, more than 128");
    let unfold = Unfold { images: 1, size: [6, 4], patch_size: 4, prefix: 0 };
    refused(unfold.record(&mut recording, &slice, &slice), "not whole patches");
    refused(Swiglu::record(&mut recording, &slice, [1, 0], &slice), "the width is 0");
}
