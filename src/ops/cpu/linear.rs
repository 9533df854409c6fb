//! Matrix products of linear layers, and sums over rows.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::parallel;

/// `out[N, E] = x[N, D] w[D, E] + bias[E]` with `dims = [N, D, E]`.
///
/// The bias is put into `out` first, and the product accumulates on it.
pub(crate) fn linear(x: &[f32], w: &[f32], bias: &[f32], dims: [usize; 3], out: &mut [f32]) {
    let [n, d, e] = dims;
    assert_eq!(out.len(), n * e);
    if out.is_empty() {
        return;
    }
    for out in out.chunks_exact_mut(e) {
        out.copy_from_slice(bias);
    }
    matmul(rows_mut(out, n, e), Accum::Add, rows(x, n, d), rows(w, d, e), 1.0, par());
}

/// `dx[N, D] = dy[N, E] w[D, E]^T` with `dims = [N, D, E]`.
pub(crate) fn linear_input_gradient(dy: &[f32], w: &[f32], dims: [usize; 3], dx: &mut [f32]) {
    let [n, d, e] = dims;
    matmul(
        rows_mut(dx, n, d),
        Accum::Replace,
        rows(dy, n, e),
        rows(w, d, e).transpose(),
        1.0,
        par(),
    );
}

/// `dw[D, E] = x[N, D]^T dy[N, E]` with `dims = [N, D, E]`.
pub(crate) fn linear_weight_gradient(x: &[f32], dy: &[f32], dims: [usize; 3], dw: &mut [f32]) {
    let [n, d, e] = dims;
    matmul(
        rows_mut(dw, d, e),
        Accum::Replace,
        rows(x, n, d).transpose(),
        rows(dy, n, e),
        1.0,
        par(),
    );
}

fn rows(matrix: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(matrix, rows, columns).as_dyn_stride()
}

fn rows_mut(matrix: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(matrix, rows, columns).as_dyn_stride_mut()
}

/// All threads of the current pool.
#[cfg(not(target_family = "wasm"))]
fn par() -> Par {
    if parallel() { Par::rayon(0) } else { Par::Seq }
}

#[cfg(target_family = "wasm")]
fn par() -> Par {
    Par::Seq
}

/// `sums[columns]`, overwritten with the sums over the rows of `dy`.
pub(crate) fn column_sums(dy: &[f32], columns: usize, sums: &mut [f32]) {
    /// Summed first, whatever the number of threads, so that the sums do not depend on it.
    const ROWS: usize = 64;

    assert_eq!(sums.len(), columns);
    assert_eq!(dy.len() % columns, 0);
    let arch = Arch::new();
    let chunk = ROWS * columns;
    let mut parts = vec![0.0; dy.len().div_ceil(chunk) * columns];
    if parallel() {
        dy.par_chunks(chunk)
            .zip(parts.par_chunks_mut(columns))
            .for_each(|(dy, sums)| arch.dispatch(AddRows { dy, sums }));
    } else {
        for (dy, sums) in dy.chunks(chunk).zip(parts.chunks_mut(columns)) {
            arch.dispatch(AddRows { dy, sums });
        }
    }
    sums.fill(0.0);
    arch.dispatch(AddRows { dy: &parts, sums });
}

/// Adds the rows of `dy` to `sums`.
struct AddRows<'a> {
    dy: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let columns = self.sums.len();
        let (sums, sums_tail) = S::as_mut_simd_f32s(self.sums);
        let mut fours = self.dy.chunks_exact(4 * columns);
        for four in &mut fours {
            let (a, rest) = four.split_at(columns);
            let (b, rest) = rest.split_at(columns);
            let (c, d) = rest.split_at(columns);
            let [(a, a_tail), (b, b_tail), (c, c_tail), (d, d_tail)] =
                [a, b, c, d].map(S::as_simd_f32s);
            for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let four = simd.add_f32s(simd.add_f32s(*a, *b), simd.add_f32s(*c, *d));
                *sum = simd.add_f32s(*sum, four);
            }
            let tails = sums_tail.iter_mut().zip(a_tail).zip(b_tail).zip(c_tail).zip(d_tail);
            for ((((sum, a), b), c), d) in tails {
                *sum += (a + b) + (c + d);
            }
        }
        for row in fours.remainder().chunks_exact(columns) {
            let (row, row_tail) = S::as_simd_f32s(row);
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum = simd.add_f32s(*sum, *x);
            }
            for (sum, x) in sums_tail.iter_mut().zip(row_tail) {
                *sum += x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{assert_close, on_threads, product, values};
    use super::*;

    const DIMS: [[usize; 3]; 7] =
        [[1, 1, 1], [5, 20, 7], [3, 50, 192], [197, 64, 50], [64, 48, 144], [0, 20, 7], [2, 0, 3]];

    #[test]
    fn the_layer_agrees_with_f64() {
        for dims @ [n, d, e] in DIMS {
            let [x, w, bias] = [(n * d, 1), (d * e, 2), (e, 3)].map(|(n, seed)| values(n, seed));
            let product = product(&x, &w, [n, d, e], [false, false]);
            let sums = product.iter().enumerate().map(|(i, xw)| xw + f64::from(bias[i % e]));
            let mut out = vec![f32::NAN; n * e];
            linear(&x, &w, &bias, dims, &mut out);
            assert_close(&out, &sums.collect::<Vec<_>>(), 5e-6);
        }
    }

    #[test]
    fn gradients_agree_with_f64() {
        for dims @ [n, d, e] in DIMS {
            let [x, w, dy] = [(n * d, 1), (d * e, 2), (n * e, 3)].map(|(n, seed)| values(n, seed));
            let (mut dx, mut dw) = (vec![f32::NAN; n * d], vec![f32::NAN; d * e]);
            linear_input_gradient(&dy, &w, dims, &mut dx);
            assert_close(&dx, &product(&dy, &w, [n, e, d], [false, true]), 5e-6);
            linear_weight_gradient(&x, &dy, dims, &mut dw);
            assert_close(&dw, &product(&x, &dy, [d, n, e], [true, false]), 5e-6);
        }
    }

    #[test]
    fn sums_of_columns_agree_with_f64() {
        for (rows, columns) in [(0, 5), (1, 50), (6, 192), (197, 33), (131, 16)] {
            let dy = values(rows * columns, 1);
            let expected: Vec<f64> = (0..columns)
                .map(|j| (0..rows).map(|i| f64::from(dy[i * columns + j])).sum())
                .collect();
            let mut sums = vec![f32::NAN; columns];
            column_sums(&dy, columns, &mut sums);
            assert_close(&sums, &expected, 5e-6);
        }
    }

    #[test]
    fn values_do_not_depend_on_the_number_of_threads() {
        let dims @ [n, d, e] = [394, 192, 576];
        let [x, w, dy, bias] =
            [(n * d, 1), (d * e, 2), (n * e, 3), (e, 4)].map(|(n, seed)| values(n, seed));
        let [one, three] = on_threads(|| {
            let [mut out, mut dx, mut dw, mut sums] =
                [n * e, n * d, d * e, e].map(|count| vec![0.0; count]);
            linear(&x, &w, &bias, dims, &mut out);
            linear_input_gradient(&dy, &w, dims, &mut dx);
            linear_weight_gradient(&x, &dy, dims, &mut dw);
            column_sums(&dy, e, &mut sums);
            [out, dx, dw, sums]
        });
        assert_eq!(one, three);
    }
}
