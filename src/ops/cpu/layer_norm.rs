//! LayerNorm over the rows of a matrix.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::parallel;

/// Rows that a thread takes at once; the gradients of the weights are summed over so many rows
/// first, whatever the number of threads, so that their sums do not depend on it.
const ROWS: usize = 64;

/// `y = (x - mean) / sqrt(variance + eps) · gamma + beta` for each row of `gamma.len()` values of
/// `x`.
pub(crate) fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, y: &mut [f32]) {
    let width = gamma.len();
    assert_eq!(beta.len(), width);
    assert_eq!(x.len(), y.len());
    assert_eq!(x.len() % width, 0);
    let arch = Arch::new();
    let rows = |x, y| arch.dispatch(LayerNorm { x, gamma, beta, eps, y });
    if parallel() {
        let chunk = ROWS * width;
        x.par_chunks(chunk).zip(y.par_chunks_mut(chunk)).for_each(|(x, y)| rows(x, y));
    } else {
        rows(x, y);
    }
}

/// The gradients of [`layer_norm`], whose means and variances are taken anew: `dx`, and `dgamma`
/// and `dbeta` summed over the rows. All three are overwritten.
pub(crate) fn layer_norm_backward(
    x: &[f32],
    gamma: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let width = gamma.len();
    assert_eq!(dgamma.len(), width);
    assert_eq!(dbeta.len(), width);
    assert_eq!(x.len(), dy.len());
    assert_eq!(x.len(), dx.len());
    assert_eq!(x.len() % width, 0);
    let arch = Arch::new();
    let chunk = ROWS * width;
    let mut sums = vec![0.0; x.len().div_ceil(chunk) * 2 * width];
    let rows = |x, dy, dx, sums: &mut [f32]| {
        let (dgamma, dbeta) = sums.split_at_mut(width);
        arch.dispatch(LayerNormBackward { x, gamma, eps, dy, dx, dgamma, dbeta });
    };
    if parallel() {
        (
            x.par_chunks(chunk),
            dy.par_chunks(chunk),
            dx.par_chunks_mut(chunk),
            sums.par_chunks_mut(2 * width),
        )
            .into_par_iter()
            .for_each(|(x, dy, dx, sums)| rows(x, dy, dx, sums));
    } else {
        let chunks = x
            .chunks(chunk)
            .zip(dy.chunks(chunk))
            .zip(dx.chunks_mut(chunk))
            .zip(sums.chunks_mut(2 * width));
        for (((x, dy), dx), sums) in chunks {
            rows(x, dy, dx, sums);
        }
    }
    dgamma.fill(0.0);
    dbeta.fill(0.0);
    for sums in sums.chunks_exact(2 * width) {
        let totals = dgamma.iter_mut().chain(&mut *dbeta);
        for (total, sum) in totals.zip(sums) {
            *total += sum;
        }
    }
}

struct LayerNorm<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    eps: f32,
    y: &'a mut [f32],
}

impl WithSimd for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.gamma.len();
        let (gamma, gamma_tail) = S::as_simd_f32s(self.gamma);
        let (beta, beta_tail) = S::as_simd_f32s(self.beta);
        for (x, y) in self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)) {
            let (mean, scale) = moments(simd, x, self.eps);
            let (x, x_tail) = S::as_simd_f32s(x);
            let (y, y_tail) = S::as_mut_simd_f32s(y);
            let (means, scales) = (simd.splat_f32s(mean), simd.splat_f32s(scale));
            for (((x, y), gamma), beta) in x.iter().zip(y).zip(gamma).zip(beta) {
                let normal = simd.mul_f32s(simd.sub_f32s(*x, means), scales);
                *y = simd.mul_add_e_f32s(normal, *gamma, *beta);
            }
            for (((x, y), gamma), beta) in x_tail.iter().zip(y_tail).zip(gamma_tail).zip(beta_tail)
            {
                *y = (x - mean) * scale * gamma + beta;
            }
        }
    }
}

struct LayerNormBackward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    eps: f32,
    dy: &'a [f32],
    dx: &'a mut [f32],
    /// The sums over the rows, added to what is there.
    dgamma: &'a mut [f32],
    dbeta: &'a mut [f32],
}

impl WithSimd for LayerNormBackward<'_> {
    type Output = ();

    /// With the normalised `n = (x - mean) s` and `g = dy gamma`: `dx = s (g - mean(g) - n mean(g
    /// n))`.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.gamma.len();
        let (gamma, gamma_tail) = S::as_simd_f32s(self.gamma);
        let (dgamma, dgamma_tail) = S::as_mut_simd_f32s(self.dgamma);
        let (dbeta, dbeta_tail) = S::as_mut_simd_f32s(self.dbeta);
        let rows = self
            .x
            .chunks_exact(width)
            .zip(self.dy.chunks_exact(width))
            .zip(self.dx.chunks_exact_mut(width));
        for ((x, dy), dx) in rows {
            let (mean, scale) = moments(simd, x, self.eps);
            let (x, x_tail) = S::as_simd_f32s(x);
            let (dy, dy_tail) = S::as_simd_f32s(dy);
            let (dx, dx_tail) = S::as_mut_simd_f32s(dx);
            let (means, scales) = (simd.splat_f32s(mean), simd.splat_f32s(scale));

            let mut sum = simd.splat_f32s(0.0);
            let mut product = simd.splat_f32s(0.0);
            let vectors = x.iter().zip(dy).zip(gamma).zip(&mut *dgamma).zip(&mut *dbeta);
            for ((((x, dy), gamma), dgamma), dbeta) in vectors {
                let normal = simd.mul_f32s(simd.sub_f32s(*x, means), scales);
                let g = simd.mul_f32s(*dy, *gamma);
                sum = simd.add_f32s(sum, g);
                product = simd.mul_add_e_f32s(g, normal, product);
                *dgamma = simd.mul_add_e_f32s(*dy, normal, *dgamma);
                *dbeta = simd.add_f32s(*dbeta, *dy);
            }
            let mut sum = simd.reduce_sum_f32s(sum);
            let mut product = simd.reduce_sum_f32s(product);
            let rest = x_tail
                .iter()
                .zip(dy_tail)
                .zip(gamma_tail)
                .zip(&mut *dgamma_tail)
                .zip(&mut *dbeta_tail);
            for ((((x, dy), gamma), dgamma), dbeta) in rest {
                let normal = (x - mean) * scale;
                sum += dy * gamma;
                product += dy * gamma * normal;
                *dgamma += dy * normal;
                *dbeta += dy;
            }

            let (mean_g, mean_product) = (sum / width as f32, product / width as f32);
            let (means_g, means_product) = (simd.splat_f32s(mean_g), simd.splat_f32s(mean_product));
            for (((x, dy), gamma), dx) in x.iter().zip(dy).zip(gamma).zip(dx) {
                let normal = simd.mul_f32s(simd.sub_f32s(*x, means), scales);
                let centred = simd.sub_f32s(simd.mul_f32s(*dy, *gamma), means_g);
                *dx = simd
                    .mul_f32s(simd.negate_mul_add_e_f32s(normal, means_product, centred), scales);
            }
            for (((x, dy), gamma), dx) in x_tail.iter().zip(dy_tail).zip(gamma_tail).zip(dx_tail) {
                *dx = scale * (dy * gamma - mean_g - (x - mean) * scale * mean_product);
            }
        }
    }
}

/// The mean of a row and `1 / sqrt(variance + eps)`, in two passes, as a row fits the nearest
/// cache.
#[inline(always)]
fn moments<S: Simd>(simd: S, row: &[f32], eps: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let (vectors, tail) = S::as_simd_f32s(row);
    // Four sums at once, as each addition waits for the one before it.
    let (fours, rest) = pulp::as_arrays::<4, _>(vectors);

    let mut sums = [simd.splat_f32s(0.0); 4];
    for four in fours {
        for (sum, x) in sums.iter_mut().zip(four) {
            *sum = simd.add_f32s(*sum, *x);
        }
    }
    for x in rest {
        sums[0] = simd.add_f32s(sums[0], *x);
    }
    let mean = (total(simd, sums) + tail.iter().sum::<f32>()) / count;

    let means = simd.splat_f32s(mean);
    let mut sums = [simd.splat_f32s(0.0); 4];
    for four in fours {
        for (sum, x) in sums.iter_mut().zip(four) {
            let centred = simd.sub_f32s(*x, means);
            *sum = simd.mul_add_e_f32s(centred, centred, *sum);
        }
    }
    for x in rest {
        let centred = simd.sub_f32s(*x, means);
        sums[0] = simd.mul_add_e_f32s(centred, centred, sums[0]);
    }
    let squares: f32 = tail.iter().map(|x| (x - mean) * (x - mean)).sum();
    let variance = (total(simd, sums) + squares) / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

#[inline(always)]
fn total<S: Simd>(simd: S, sums: [S::f32s; 4]) -> f32 {
    let [a, b, c, d] = sums;
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}

#[cfg(test)]
mod tests {
    use super::super::reference::{self, arches, assert_close, dot, slope, values, wide};
    use super::*;

    const EPS: f32 = 1e-6;
    const SIZES: [[usize; 2]; 6] = [[1, 1], [3, 5], [2, 50], [197, 192], [67, 384], [5, 257]];

    struct Case {
        x: Vec<f32>,
        gamma: Vec<f32>,
        beta: Vec<f32>,
        dy: Vec<f32>,
    }

    fn case([rows, width]: [usize; 2]) -> Case {
        Case {
            x: values(rows * width, 1).iter().map(|x| 3.0 * x + 0.5).collect(),
            gamma: values(width, 2),
            beta: values(width, 3),
            dy: values(rows * width, 4),
        }
    }

    fn backward(case: &Case) -> [Vec<f32>; 3] {
        let Case { x, gamma, dy, .. } = case;
        let [mut dx, mut dgamma, mut dbeta] =
            [x.len(), gamma.len(), gamma.len()].map(|count| vec![f32::NAN; count]);
        layer_norm_backward(x, gamma, EPS, dy, &mut dx, &mut dgamma, &mut dbeta);
        [dx, dgamma, dbeta]
    }

    #[test]
    fn values_agree_with_f64() {
        for size in SIZES {
            let Case { x, gamma, beta, .. } = case(size);
            let mut y = vec![f32::NAN; x.len()];
            layer_norm(&x, &gamma, &beta, EPS, &mut y);
            assert_close(
                &y,
                &reference::layer_norm(&wide(&x), &wide(&gamma), &wide(&beta), EPS.into()),
                2e-6,
            );
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        for size in SIZES {
            let case = case(size);
            let [x, gamma, beta, dy] =
                [&case.x, &case.gamma, &case.beta, &case.dy].map(|values| wide(values));
            let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| {
                dot(&reference::layer_norm(x, gamma, beta, EPS.into()), &dy)
            };
            let [dx, dgamma, dbeta] = backward(&case).map(|gradient| wide(&gradient));
            for seed in 10..14 {
                let [u, v] = [x.len(), gamma.len()].map(|count| wide(&values(count, seed)));
                for (name, slope, gradient) in [
                    ("x", slope(|x| loss(x, &gamma, &beta), &x, &u), dot(&dx, &u)),
                    ("gamma", slope(|gamma| loss(&x, gamma, &beta), &gamma, &v), dot(&dgamma, &v)),
                    ("beta", slope(|beta| loss(&x, &gamma, beta), &beta, &v), dot(&dbeta, &v)),
                ] {
                    let error = (slope - gradient).abs();
                    assert!(
                        error < 2e-5 * slope.abs().max(1.0),
                        "{size:?}, {name}: {gradient}, not {slope}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_about_the_same() {
        for size in SIZES {
            let Case { x, gamma, beta, dy } = case(size);
            let [first, others @ ..] = &*arches()
                .into_iter()
                .map(|arch| {
                    let [mut y, mut dx] = [vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]];
                    let [mut dgamma, mut dbeta] = [vec![0.0; gamma.len()], vec![0.0; gamma.len()]];
                    arch.dispatch(LayerNorm {
                        x: &x,
                        gamma: &gamma,
                        beta: &beta,
                        eps: EPS,
                        y: &mut y,
                    });
                    arch.dispatch(LayerNormBackward {
                        x: &x,
                        gamma: &gamma,
                        eps: EPS,
                        dy: &dy,
                        dx: &mut dx,
                        dgamma: &mut dgamma,
                        dbeta: &mut dbeta,
                    });
                    [y, dx, dgamma, dbeta].concat()
                })
                .collect::<Vec<_>>()
            else {
                unreachable!("there is one at least")
            };
            for other in others {
                assert_close(other, &wide(first), 1e-5);
            }
        }
    }

    #[test]
    fn rows_without_variance_become_beta_and_stay_finite_backward() {
        let (gamma, beta) = ([2.0; 48], values(48, 1));
        let x = [1e3; 96];
        let mut y = [f32::NAN; 96];
        layer_norm(&x, &gamma, &beta, EPS, &mut y);
        assert_eq!(y[..48], beta);
        assert_eq!(y[48..], beta);
        let (mut dx, mut dgamma, mut dbeta) = ([f32::NAN; 96], [f32::NAN; 48], [f32::NAN; 48]);
        layer_norm_backward(&x, &gamma, EPS, &values(96, 2), &mut dx, &mut dgamma, &mut dbeta);
        assert!(dx.iter().all(|dx| dx.is_finite()));
        assert_eq!(dgamma, [0.0; 48]);
    }

    #[test]
    fn no_rows_give_no_values_and_gradients_of_0() {
        let Case { gamma, beta, .. } = case([1, 50]);
        layer_norm(&[], &gamma, &beta, EPS, &mut []);
        let (mut dgamma, mut dbeta) = ([f32::NAN; 50], [f32::NAN; 50]);
        layer_norm_backward(&[], &gamma, EPS, &[], &mut [], &mut dgamma, &mut dbeta);
        assert_eq!((dgamma, dbeta), ([0.0; 50], [0.0; 50]));
    }

    #[test]
    fn values_do_not_depend_on_the_number_of_threads() {
        let case = case([333, 50]);
        let [one, three] = reference::on_threads(|| {
            let mut y = vec![0.0; case.x.len()];
            layer_norm(&case.x, &case.gamma, &case.beta, EPS, &mut y);
            (y, backward(&case))
        });
        assert_eq!(one, three);
    }
}
