//! GELU with the error function, `x Φ(x)`.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::exp::exp2_nonpositive;
use super::parallel;

/// Elements that a thread takes at once.
const CHUNK: usize = 1 << 14;

/// `y = x Φ(x)`, to 1.5e-7 · max(1, |y|).
pub(crate) fn gelu(x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    let arch = Arch::new();
    if parallel() {
        x.par_chunks(CHUNK)
            .zip(y.par_chunks_mut(CHUNK))
            .for_each(|(x, y)| arch.dispatch(Gelu { x, y }));
    } else {
        arch.dispatch(Gelu { x, y });
    }
}

/// `dx = dy (Φ(x) + x φ(x))`, the factor to 3e-7.
pub(crate) fn gelu_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_eq!(x.len(), dy.len());
    assert_eq!(x.len(), dx.len());
    let arch = Arch::new();
    if parallel() {
        (x.par_chunks(CHUNK), dy.par_chunks(CHUNK), dx.par_chunks_mut(CHUNK))
            .into_par_iter()
            .for_each(|(x, dy, dx)| arch.dispatch(GeluBackward { x, dy, dx }));
    } else {
        arch.dispatch(GeluBackward { x, dy, dx });
    }
}

struct Gelu<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, x_tail) = S::as_simd_f32s(self.x);
        let (y, y_tail) = S::as_mut_simd_f32s(self.y);
        for (x, y) in x.iter().zip(y) {
            *y = gelu_of(simd, *x);
        }
        simd.partial_store_f32s(y_tail, gelu_of(simd, simd.partial_load_f32s(x_tail)));
    }
}

struct GeluBackward<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl WithSimd for GeluBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, x_tail) = S::as_simd_f32s(self.x);
        let (dy, dy_tail) = S::as_simd_f32s(self.dy);
        let (dx, dx_tail) = S::as_mut_simd_f32s(self.dx);
        for ((x, dy), dx) in x.iter().zip(dy).zip(dx) {
            *dx = simd.mul_f32s(*dy, derivative(simd, *x));
        }
        let factor = derivative(simd, simd.partial_load_f32s(x_tail));
        simd.partial_store_f32s(dx_tail, simd.mul_f32s(simd.partial_load_f32s(dy_tail), factor));
    }
}

/// `max(x, 0) - |x| Φ(-|x|)`: without cancellation on either side.
#[inline(always)]
fn gelu_of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let magnitude = simd.abs_f32s(x);
    let tail = simd.mul_f32s(gaussian(simd, x), tail_ratio(simd, magnitude));
    let zero = simd.splat_f32s(0.0);
    let positive = simd.select_f32s(simd.less_than_f32s(x, zero), zero, x);
    simd.negate_mul_add_e_f32s(magnitude, tail, positive)
}

#[inline(always)]
fn derivative<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let gaussian = gaussian(simd, x);
    let tail = simd.mul_f32s(gaussian, tail_ratio(simd, simd.abs_f32s(x)));
    let negative = simd.less_than_f32s(x, simd.splat_f32s(0.0));
    let cumulative = simd.select_f32s(negative, tail, simd.sub_f32s(simd.splat_f32s(1.0), tail));
    let density = simd.mul_f32s(gaussian, simd.splat_f32s(0.398_942_3));
    simd.mul_add_e_f32s(x, density, cumulative)
}

/// e^(-x²/2).
#[inline(always)]
fn gaussian<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let scale = simd.splat_f32s(-0.5 * std::f32::consts::LOG2_E);
    exp2_nonpositive(simd, simd.mul_f32s(simd.mul_f32s(x, x), scale))
}

/// `Φ(-x) e^(x²/2)` for x ≥ 0, to 4e-8 of itself up to x = 9, beyond which Φ(-x) is below 1e-19.
///
/// A polynomial in t = 1 / (1 + 0.23 x), of the form of Abramowitz and Stegun 7.1.26 with three
/// terms more, fitted for the least largest relative error.
#[inline(always)]
fn tail_ratio<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const POLYNOMIAL: [f32; 8] = [
        -0.076_734_56,
        0.281_455_7,
        -0.258_278_6,
        0.276_886_43,
        -0.014_319_338,
        0.110_722_73,
        0.088_295_34,
        0.091_972_26,
    ];
    let one = simd.splat_f32s(1.0);
    let t = simd.div_f32s(one, simd.mul_add_e_f32s(x, simd.splat_f32s(0.23), one));
    let mut p = simd.splat_f32s(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        p = simd.mul_add_e_f32s(p, t, simd.splat_f32s(*coefficient));
    }
    simd.mul_f32s(p, t)
}

#[cfg(test)]
mod tests {
    use super::super::reference::{self, arches, slope};
    use super::*;

    /// From -30 to 30, densest around 0.
    fn inputs(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| {
                let u = 2.0 * i as f32 / (count - 1) as f32 - 1.0;
                30.0 * u * u * u
            })
            .collect()
    }

    #[test]
    fn values_are_exact_to_their_bound() {
        let x = inputs(200_001);
        for arch in arches() {
            let mut y = vec![f32::NAN; x.len()];
            arch.dispatch(Gelu { x: &x, y: &mut y });
            for (x, y) in x.iter().zip(&y) {
                let expected = reference::gelu(f64::from(*x));
                let error = (f64::from(*y) - expected).abs();
                assert!(
                    error <= 1.5e-7 * expected.abs().max(1.0),
                    "GELU({x}) = {y}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn derivatives_are_exact_to_their_bound() {
        let x = inputs(200_001);
        let dy = vec![1.0; x.len()];
        for arch in arches() {
            let mut dx = vec![f32::NAN; x.len()];
            arch.dispatch(GeluBackward { x: &x, dy: &dy, dx: &mut dx });
            for (x, dx) in x.iter().zip(&dx) {
                let expected = slope(|x| reference::gelu(x[0]), &[f64::from(*x)], &[1.0]);
                let error = (f64::from(*dx) - expected).abs();
                assert!(error <= 3e-7, "GELU'({x}) = {dx}, not {expected}");
            }
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_output_times_the_derivative() {
        let x = inputs(50);
        let dy: Vec<f32> = (0..50).map(|i| i as f32 - 20.0).collect();
        let (mut ones, mut dx) = (vec![0.0; 50], vec![0.0; 50]);
        gelu_backward(&x, &[1.0; 50], &mut ones);
        gelu_backward(&x, &dy, &mut dx);
        for ((one, dy), dx) in ones.iter().zip(&dy).zip(&dx) {
            assert_eq!(one * dy, *dx);
        }
    }

    #[test]
    fn every_length_gives_the_same_values() {
        let x = inputs(67);
        let mut whole = vec![0.0; 67];
        gelu(&x, &mut whole);
        for length in 0..67 {
            let mut y = vec![f32::NAN; length];
            gelu(&x[..length], &mut y);
            assert_eq!(y, whole[..length]);
        }
    }

    #[test]
    fn nan_stays() {
        let (mut y, mut dx) = ([0.0; 2], [0.0; 2]);
        gelu(&[f32::NAN, 1.0], &mut y);
        gelu_backward(&[f32::NAN, 1.0], &[1.0; 2], &mut dx);
        assert!(y[0].is_nan() && dx[0].is_nan());
        assert!(y[1].is_finite() && dx[1].is_finite());
    }

    #[test]
    fn values_do_not_depend_on_the_number_of_threads() {
        let x = inputs(3 * CHUNK + 5);
        let [one, three] = reference::on_threads(|| {
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            gelu(&x, &mut y);
            gelu_backward(&x, &y, &mut dx);
            (y, dx)
        });
        assert_eq!(one, three);
    }
}
