//! The exponential on SIMD vectors.

use pulp::Simd;

/// 2^x for x ≤ 0, to 2e-7 of itself, and 2^-125 below; NaN stays NaN.
///
/// With the integer n nearest to x, 2^x = 2^n 2^(x - n): the first by its bits, the second by a
/// polynomial fitted on [-1/2, 1/2] for the least largest relative error, 9e-8.
#[inline(always)]
pub(super) fn exp2_nonpositive<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// Low enough to be nearly 0, and not subnormal, which would slow the loops that follow.
    const LOWEST: f32 = -125.0;
    /// 1.5 · 2^23: added to a small number it leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    #[expect(clippy::approx_constant, reason = "fitted, and so not quite ln 2")]
    const POLYNOMIAL: [f32; 6] =
        [1.326_472_7e-3, 9.671_513e-3, 5.550_733_6e-2, 0.240_222_42, 0.693_147, 1.0];

    let lowest = simd.splat_f32s(LOWEST);
    // Not a maximum: on some targets it would lose NaN.
    let x = simd.select_f32s(simd.less_than_f32s(x, lowest), lowest, x);
    let round = simd.splat_f32s(ROUND);
    let shifted = simd.add_f32s(x, round);
    let r = simd.sub_f32s(x, simd.sub_f32s(shifted, round));
    let mut p = simd.splat_f32s(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(*coefficient));
    }
    // The shift drops the bits of `ROUND`; what is left of n goes to the exponent, of bias 127.
    let exponent =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let power = simd.transmute_f32s_u32s(simd.add_u32s(exponent, simd.splat_u32s(127 << 23)));
    simd.mul_f32s(p, power)
}

#[cfg(test)]
mod tests {
    use super::super::reference::arches;
    use super::*;
    use pulp::WithSimd;

    struct Exp2<'a>(&'a mut [f32]);

    impl WithSimd for Exp2<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for chunk in self.0.chunks_mut(S::F32_LANES) {
                let x = simd.partial_load_f32s(chunk);
                simd.partial_store_f32s(chunk, exp2_nonpositive(simd, x));
            }
        }
    }

    #[test]
    fn powers_of_2_are_right_to_2e_7_of_themselves() {
        let x: Vec<f32> = (0..200_001).map(|i| -125.0 * (i as f32 / 200_000.0)).collect();
        for arch in arches() {
            let mut y = x.clone();
            arch.dispatch(Exp2(&mut y));
            for (x, y) in x.iter().zip(&y) {
                let expected = f64::from(*x).exp2();
                assert!(
                    (f64::from(*y) / expected - 1.0).abs() < 2e-7,
                    "2^{x} = {y}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn powers_are_nearly_0_far_below_and_keep_nan() {
        for arch in arches() {
            let mut y = [0.0, -127.0, -1e30, f32::NEG_INFINITY, f32::NAN];
            arch.dispatch(Exp2(&mut y));
            assert_eq!(y[0], 1.0);
            assert!(y[1..4].iter().all(|y| (0.0..3e-38).contains(y)), "{y:?}");
            assert!(y[4].is_nan());
        }
    }
}
