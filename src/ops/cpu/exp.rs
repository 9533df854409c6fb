//! The exponential on SIMD vectors.

use pulp::Simd;

/// Below it e^x is taken as e^-87 = 1.6e-38, so that no subnormal number slows the loops that
/// follow.
const LOWEST: f32 = -87.0;

/// e^x for x ≤ 0, to 2e-7 of itself; NaN stays NaN.
///
/// x = n ln 2 + r with |r| ≤ ln 2 / 2; e^r by the polynomial of Cephes' `expf`, 2^n by its bits.
#[inline(always)]
pub(super) fn exp_nonpositive<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// 1.5 · 2^23: added to a small number it leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with few enough bits for exact multiples.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const POLYNOMIAL: [f32; 6] =
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

    let lowest = simd.splat_f32s(LOWEST);
    // Not a maximum: on some targets it would lose NaN.
    let x = simd.select_f32s(simd.less_than_f32s(x, lowest), lowest, x);
    let round = simd.splat_f32s(ROUND);
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(shifted, round);
    let r = simd.negate_mul_add_e_f32s(n, simd.splat_f32s(LN_2[0]), x);
    let r = simd.negate_mul_add_e_f32s(n, simd.splat_f32s(LN_2[1]), r);

    let mut p = simd.splat_f32s(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(*coefficient));
    }
    let p = simd.mul_add_e_f32s(p, simd.mul_f32s(r, r), simd.add_f32s(r, simd.splat_f32s(1.0)));

    // The shift drops all bits of `ROUND`; what is left of n goes to the exponent, whose bias is
    // 127.
    let exponent =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let power = simd.transmute_f32s_u32s(simd.add_u32s(exponent, simd.splat_u32s(127 << 23)));
    simd.mul_f32s(p, power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Exp<'a>(&'a mut [f32]);

    impl WithSimd for Exp<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for chunk in self.0.chunks_mut(S::F32_LANES) {
                let x = simd.partial_load_f32s(chunk);
                simd.partial_store_f32s(chunk, exp_nonpositive(simd, x));
            }
        }
    }

    #[test]
    fn the_exponential_is_right_to_2e_7_of_itself() {
        let x: Vec<f32> = (0..200_001).map(|i| -87.0 * (i as f32 / 200_000.0)).collect();
        let mut y = x.clone();
        Arch::new().dispatch(Exp(&mut y));
        for (x, y) in x.iter().zip(&y) {
            let expected = f64::from(*x).exp();
            assert!((f64::from(*y) / expected - 1.0).abs() < 2e-7, "e^{x} = {y}, not {expected}");
        }
    }

    #[test]
    fn the_exponential_is_nearly_0_far_below_and_keeps_nan() {
        let mut y = [0.0, -90.0, -1e30, f32::NEG_INFINITY, f32::NAN];
        Arch::new().dispatch(Exp(&mut y));
        assert_eq!(y[0], 1.0);
        assert!(y[1..4].iter().all(|y| (0.0..2e-38).contains(y)), "{y:?}");
        assert!(y[4].is_nan());
    }

    #[test]
    fn targets_without_vectors_agree() {
        let mut y: Vec<f32> = (0..1000).map(|i| -0.07 * i as f32).collect();
        let mut scalar = y.clone();
        Arch::new().dispatch(Exp(&mut y));
        Arch::Scalar.dispatch(Exp(&mut scalar));
        for (y, scalar) in y.iter().zip(&scalar) {
            assert!((y / scalar - 1.0).abs() < 4e-7, "{y} and {scalar}");
        }
    }
}
