//! Softmax of the rows of a matrix in place, forward and backward.

use pulp::{Simd, WithSimd};

use super::exp::exp2_nonpositive;

/// As many places as the widest vector has: rows of a multiple of them are whole vectors on every
/// target.
const PLACES: usize = 16;

/// The places of a row of `columns` values; the last ones are padding.
pub(super) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(PLACES)
}

/// Softmax to the base 2, `2^x / sum(2^x)`, over the first `columns` of each row of
/// `padded(columns)` places.
pub(super) struct Softmax<'a> {
    pub(super) scores: &'a mut [f32],
    pub(super) columns: usize,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (whole, rest) = (self.columns / S::F32_LANES, self.columns % S::F32_LANES);
        let used = whole + usize::from(rest > 0);
        let inside = simd.mask_between_m32s(0, rest as u32).mask();
        let lowest = simd.splat_f32s(f32::NEG_INFINITY);
        let zero = simd.splat_f32s(0.0);

        for row in self.scores.chunks_exact_mut(padded(self.columns)) {
            let row = &mut S::as_mut_simd_f32s(row).0[..used];
            if rest > 0 {
                row[whole] = simd.select_f32s(inside, row[whole], lowest);
            }
            let mut max = lowest;
            for x in &*row {
                max = simd.max_f32s(max, *x);
            }
            let max = simd.splat_f32s(simd.reduce_max_f32s(max));

            let mut sum = zero;
            for x in &mut *row {
                *x = exp2_nonpositive(simd, simd.sub_f32s(*x, max));
                sum = simd.add_f32s(sum, *x);
            }
            let scale = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(sum));
            for x in row {
                *x = simd.mul_f32s(*x, scale);
            }
        }
    }
}

/// `P (dP - rowsum(P dP)) · scale` in place of dP, over the first `columns` of each row of
/// `padded(columns)` places.
pub(super) struct SoftmaxBackward<'a> {
    pub(super) probabilities: &'a [f32],
    pub(super) gradients: &'a mut [f32],
    pub(super) columns: usize,
    pub(super) scale: f32,
}

impl WithSimd for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let places = padded(self.columns);
        let (whole, rest) = (self.columns / S::F32_LANES, self.columns % S::F32_LANES);
        let used = whole + usize::from(rest > 0);
        let inside = simd.mask_between_m32s(0, rest as u32).mask();
        let zero = simd.splat_f32s(0.0);
        let scale = simd.splat_f32s(self.scale);

        for (p, dp) in
            self.probabilities.chunks_exact(places).zip(self.gradients.chunks_exact_mut(places))
        {
            let (p, dp) = (S::as_simd_f32s(p).0, S::as_mut_simd_f32s(dp).0);
            if rest > 0 {
                // What lies in the padding may be anything that the scratch held before.
                dp[whole] = simd.select_f32s(inside, dp[whole], zero);
            }
            let mut sum = zero;
            for (p, dp) in p[..used].iter().zip(&dp[..used]) {
                sum = simd.mul_add_e_f32s(*p, *dp, sum);
            }
            let sum = simd.splat_f32s(simd.reduce_sum_f32s(sum));
            for (p, dp) in p[..used].iter().zip(&mut dp[..used]) {
                *dp = simd.mul_f32s(*p, simd.mul_f32s(simd.sub_f32s(*dp, sum), scale));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{arches, assert_close, dot, values, wide};
    use super::*;

    /// Rows of every kind: shorter than a vector, whole vectors, and with a rest.
    const COLUMNS: [usize; 6] = [1, 5, 16, 31, 48, 197];

    fn softmax(scores: &[f32]) -> Vec<f64> {
        let powers: Vec<f64> = scores.iter().map(|x| f64::from(*x).exp2()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    }

    /// Rows of `columns` values with NaN in their padding.
    fn rows(columns: usize, seed: u64) -> Vec<f32> {
        let mut rows = values(3 * padded(columns), seed);
        for row in rows.chunks_exact_mut(padded(columns)) {
            row[..columns].iter_mut().for_each(|x| *x *= 9.0);
            row[columns..].fill(f32::NAN);
        }
        rows
    }

    #[test]
    fn rows_agree_with_f64_whatever_their_padding_holds() {
        for (arch, columns) in arches().into_iter().flat_map(|arch| COLUMNS.map(|c| (arch, c))) {
            let before = rows(columns, 1);
            let mut scores = before.clone();
            arch.dispatch(Softmax { scores: &mut scores, columns });
            let pairs = scores.chunks(padded(columns)).zip(before.chunks(padded(columns)));
            for (row, before) in pairs {
                assert_close(&row[..columns], &softmax(&before[..columns]), 3e-7);
            }
        }
    }

    #[test]
    fn gradients_agree_with_f64() {
        for (arch, columns) in arches().into_iter().flat_map(|arch| COLUMNS.map(|c| (arch, c))) {
            let mut probabilities = rows(columns, 1);
            arch.dispatch(Softmax { scores: &mut probabilities, columns });
            let before = rows(columns, 2);
            let mut gradients = before.clone();
            let probabilities = &probabilities;
            arch.dispatch(SoftmaxBackward {
                probabilities,
                gradients: &mut gradients,
                columns,
                scale: 0.5,
            });
            for i in 0..3 {
                let places = i * padded(columns)..i * padded(columns) + columns;
                let (p, dp) = (wide(&probabilities[places.clone()]), wide(&before[places.clone()]));
                let mean = dot(&p, &dp);
                let expected: Vec<f64> =
                    p.iter().zip(&dp).map(|(p, dp)| 0.5 * p * (dp - mean)).collect();
                assert_close(&gradients[places], &expected, 2e-6);
            }
        }
    }
}
