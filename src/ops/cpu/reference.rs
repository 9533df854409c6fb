//! The operations in f64, as their definitions read, and what the tests compare by.

use pulp::Arch;
use statrs::function::erf::erfc;

use super::AttentionShape;

pub(super) fn gelu(x: f64) -> f64 {
    0.5 * x * erfc(-x / std::f64::consts::SQRT_2)
}

pub(super) fn layer_norm(x: &[f64], gamma: &[f64], beta: &[f64], eps: f64) -> Vec<f64> {
    let width = gamma.len() as f64;
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks_exact(gamma.len()) {
        let mean = row.iter().sum::<f64>() / width;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width;
        y.extend(row.iter().zip(gamma).zip(beta).map(|((x, gamma), beta)| {
            let normal = (x - mean) / (variance + eps).sqrt();
            normal * gamma + beta
        }));
    }
    y
}

pub(super) fn attention(qkv: &[f64], shape: AttentionShape) -> Vec<f64> {
    let AttentionShape { batch, tokens, heads, head_dim } = shape;
    let at = |image: usize, token: usize, part: usize, head: usize| {
        let start = (((image * tokens + token) * 3 + part) * heads + head) * head_dim;
        &qkv[start..start + head_dim]
    };
    let mut out = vec![0.0; batch * tokens * heads * head_dim];
    for image in 0..batch {
        for head in 0..heads {
            for query in 0..tokens {
                let q = at(image, query, 0, head);
                let logits: Vec<f64> = (0..tokens)
                    .map(|key| dot(q, at(image, key, 1, head)) / (head_dim as f64).sqrt())
                    .collect();
                let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = logits.iter().map(|logit| (logit - max).exp()).sum();
                let start = ((image * tokens + query) * heads + head) * head_dim;
                for (key, logit) in logits.iter().enumerate() {
                    let p = (logit - max).exp() / sum;
                    for (out, v) in
                        out[start..start + head_dim].iter_mut().zip(at(image, key, 2, head))
                    {
                        *out += p * v;
                    }
                }
            }
        }
    }
    out
}

/// `a[n, k] b[k, m]`, either read as the transpose of what is stored.
pub(super) fn product(
    a: &[f32],
    b: &[f32],
    [n, k, m]: [usize; 3],
    transposed: [bool; 2],
) -> Vec<f64> {
    let mut out = vec![0.0; n * m];
    for i in 0..n {
        for j in 0..m {
            for l in 0..k {
                let a = if transposed[0] { a[l * n + i] } else { a[i * k + l] };
                let b = if transposed[1] { b[j * k + l] } else { b[l * m + j] };
                out[i * m + j] += f64::from(a) * f64::from(b);
            }
        }
    }
    out
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The derivative of `f` at `x` along `direction`, by a central difference.
pub(super) fn slope(f: impl Fn(&[f64]) -> f64, x: &[f64], direction: &[f64]) -> f64 {
    const STEP: f64 = 1e-5;
    let along =
        |step: f64| f(&x.iter().zip(direction).map(|(x, d)| x + step * d).collect::<Vec<_>>());
    (along(STEP) - along(-STEP)) / (2.0 * STEP)
}

pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Values between -1 and 1, other ones for every seed.
pub(super) fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[track_caller]
pub(super) fn assert_close(values: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(values.len(), expected.len());
    for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
        let error = (f64::from(*value) - expected).abs();
        assert!(error <= tolerance * expected.abs().max(1.0), "value {i}: {value}, not {expected}");
    }
}

/// The instruction sets of this processor that loops may run with.
pub(super) fn arches() -> Vec<Arch> {
    let arches = [Arch::Scalar, Arch::new()];
    #[cfg(target_arch = "x86_64")]
    let avx2 = pulp::x86::V3::try_new().map(Arch::V3);
    #[cfg(not(target_arch = "x86_64"))]
    let avx2 = None;
    arches.into_iter().chain(avx2).collect()
}

/// What `run` returns in a pool of one thread and of three.
pub(super) fn on_threads<T: Send>(run: impl Fn() -> T + Sync) -> [T; 2] {
    [1, 3].map(|threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&run)
    })
}
