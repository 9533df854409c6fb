//! Multi-head attention from the output of the qkv layer, without a copy of q, k or v.

use std::cell::RefCell;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::Arch;
use rayon::prelude::*;

use super::parallel;
use super::softmax::{Softmax, SoftmaxBackward, padded};

/// The sizes of `qkv[B, T, 3, H, d]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    pub(crate) batch: usize,
    pub(crate) tokens: usize,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
}

impl AttentionShape {
    /// H · d.
    fn width(self) -> usize {
        self.heads * self.head_dim
    }

    /// Of the scores.
    fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Of the scores where e^x is computed as 2^(x log2 e).
    fn scale_to_base_2(self) -> f32 {
        std::f32::consts::LOG2_E * self.scale()
    }

    fn is_empty(self) -> bool {
        self.batch * self.tokens * self.width() == 0
    }

    /// q, k or v (`part` 0, 1 or 2) `[T, d]` of a head, in `qkv[T, 3, H, d]` of an image.
    fn head(self, image: &[f32], part: usize, head: usize) -> MatRef<'_, f32> {
        let (rows, columns) = (self.tokens, self.head_dim);
        let start = part * self.width() + head * columns;
        MatRef::from_row_major_slice_with_stride(&image[start..], rows, columns, 3 * self.width())
            .as_dyn_stride()
    }

    /// Rows of scores that are held at once, so that `matrices` blocks of them stay in the caches
    /// of a core.
    fn block(self, matrices: usize) -> usize {
        /// In values: 1 MiB.
        const SCORES: usize = 256 << 10;
        let most = (SCORES / (matrices * padded(self.tokens))).max(32);
        // Blocks of about one size.
        self.tokens.div_ceil(self.tokens.div_ceil(most))
    }
}

thread_local! {
    /// Blocks of scores; kept, as pages from the system cost more than their use.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

fn with_scores(values: usize, work: impl FnOnce(&mut [f32])) {
    SCORES.with_borrow_mut(|scores| {
        if scores.len() < values {
            scores.resize(values, 0.0);
        }
        work(&mut scores[..values]);
    });
}

/// `softmax(q k^T / sqrt(d)) v` of each image and head of `qkv[B, T, 3, H, d]`, into `out[B, T, H
/// d]`.
pub(crate) fn attention(qkv: &[f32], shape: AttentionShape, out: &mut [f32]) {
    let (tokens, width, head_dim) = (shape.tokens, shape.width(), shape.head_dim);
    assert_eq!(qkv.len(), shape.batch * tokens * 3 * width);
    assert_eq!(out.len(), shape.batch * tokens * width);
    if shape.is_empty() {
        return;
    }
    let block = shape.block(1);
    let mut jobs = Vec::new();
    for (image, out) in
        qkv.chunks_exact(tokens * 3 * width).zip(out.chunks_exact_mut(tokens * width))
    {
        for (head, mut out) in columns_of(out, tokens, head_dim).into_iter().enumerate() {
            for start in (0..tokens).step_by(block) {
                let (rows, rest) = out.split_at_row_mut(block.min(tokens - start));
                jobs.push((image, head, start, rows));
                out = rest;
            }
        }
    }
    let arch = Arch::new();
    each(jobs, |(image, head, start, out)| {
        let [q, k, v] = [0, 1, 2].map(|part| shape.head(image, part, head));
        let rows = out.nrows();
        with_scores(rows * padded(tokens), |scores| {
            let q = q.subrows(start, rows);
            matmul(
                block_mut(scores, rows, tokens),
                Accum::Replace,
                q,
                k.transpose(),
                shape.scale_to_base_2(),
                Par::Seq,
            );
            arch.dispatch(Softmax { scores, columns: tokens });
            matmul(out, Accum::Replace, block_ref(scores, rows, tokens), v, 1.0, Par::Seq);
        });
    });
}

/// The gradient `d_qkv[B, T, 3, H, d]` of [`attention`], overwritten, from `d_out[B, T, H d]`.
///
/// The probabilities P are computed anew. With `dP = dO v^T` and `dS = P (dP - rowsum(P dP)) /
/// sqrt(d)`: `dv = P^T dO`, `dq = dS k`, `dk = dS^T q`.
pub(crate) fn attention_backward(
    qkv: &[f32],
    d_out: &[f32],
    shape: AttentionShape,
    d_qkv: &mut [f32],
) {
    let (tokens, width, head_dim) = (shape.tokens, shape.width(), shape.head_dim);
    assert_eq!(qkv.len(), shape.batch * tokens * 3 * width);
    assert_eq!(d_qkv.len(), qkv.len());
    assert_eq!(d_out.len(), shape.batch * tokens * width);
    if shape.is_empty() {
        return;
    }
    let mut jobs = Vec::new();
    let images = qkv.chunks_exact(tokens * 3 * width).zip(d_out.chunks_exact(tokens * width));
    for ((image, d_out), d_image) in images.zip(d_qkv.chunks_exact_mut(tokens * 3 * width)) {
        let mut dq = columns_of(d_image, tokens, head_dim);
        let mut dk = dq.split_off(shape.heads);
        let dv = dk.split_off(shape.heads);
        for (head, ((dq, dk), dv)) in dq.into_iter().zip(dk).zip(dv).enumerate() {
            jobs.push((image, d_out, head, [dq, dk, dv]));
        }
    }
    let arch = Arch::new();
    let block = shape.block(2);
    each(jobs, |(image, d_out, head, [mut dq, mut dk, mut dv])| {
        let [q, k, v] = [0, 1, 2].map(|part| shape.head(image, part, head));
        let d_out = MatRef::from_row_major_slice_with_stride(
            &d_out[head * head_dim..],
            tokens,
            head_dim,
            width,
        );
        let d_out = d_out.as_dyn_stride();
        with_scores(2 * block * padded(tokens), |scores| {
            for start in (0..tokens).step_by(block) {
                let rows = block.min(tokens - start);
                let (p, rest) = scores.split_at_mut(rows * padded(tokens));
                let dp = &mut rest[..rows * padded(tokens)];
                let (q, d_out) = (q.subrows(start, rows), d_out.subrows(start, rows));
                let accumulate = if start == 0 { Accum::Replace } else { Accum::Add };

                matmul(
                    block_mut(p, rows, tokens),
                    Accum::Replace,
                    q,
                    k.transpose(),
                    shape.scale_to_base_2(),
                    Par::Seq,
                );
                arch.dispatch(Softmax { scores: p, columns: tokens });
                matmul(
                    dv.as_mut(),
                    accumulate,
                    block_ref(p, rows, tokens).transpose(),
                    d_out,
                    1.0,
                    Par::Seq,
                );

                matmul(
                    block_mut(dp, rows, tokens),
                    Accum::Replace,
                    d_out,
                    v.transpose(),
                    1.0,
                    Par::Seq,
                );
                arch.dispatch(SoftmaxBackward {
                    probabilities: p,
                    gradients: dp,
                    columns: tokens,
                    scale: shape.scale(),
                });
                let ds = block_ref(dp, rows, tokens);
                matmul(dq.as_mut().subrows_mut(start, rows), Accum::Replace, ds, k, 1.0, Par::Seq);
                matmul(dk.as_mut(), accumulate, ds.transpose(), q, 1.0, Par::Seq);
            }
        });
    });
}

/// Runs jobs that write to places of their own, on all threads of the current pool.
fn each<T: Send>(jobs: Vec<T>, run: impl Fn(T) + Send + Sync) {
    if parallel() {
        jobs.into_par_iter().for_each(run);
    } else {
        jobs.into_iter().for_each(run);
    }
}

/// A matrix of `rows` rows, in parts of `columns` columns.
fn columns_of(matrix: &mut [f32], rows: usize, columns: usize) -> Vec<MatMut<'_, f32>> {
    let width = matrix.len() / rows;
    let mut rest = MatMut::from_row_major_slice_mut(matrix, rows, width).as_dyn_stride_mut();
    let mut parts = Vec::with_capacity(width / columns);
    while rest.ncols() > 0 {
        let (part, after) = rest.split_at_col_mut(columns);
        parts.push(part);
        rest = after;
    }
    parts
}

fn block_ref(scores: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice_with_stride(scores, rows, columns, padded(columns)).as_dyn_stride()
}

/// By columns and transposed: `from_row_major_slice_with_stride_mut` of faer 0.24.4 exchanges the
/// strides.
fn block_mut(scores: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    let transposed =
        MatMut::from_column_major_slice_with_stride_mut(scores, columns, rows, padded(columns));
    transposed.transpose_mut().as_dyn_stride_mut()
}

#[cfg(test)]
mod tests {
    use super::super::reference::{self, assert_close, dot, on_threads, slope, values, wide};
    use super::*;

    /// The last ones take several blocks of queries, backward and both ways.
    const SHAPES: [[usize; 4]; 8] = [
        [1, 1, 1, 1],
        [2, 5, 3, 20],
        [1, 16, 2, 64],
        [1, 197, 2, 20],
        [2, 197, 3, 64],
        [1, 257, 1, 50],
        [1, 400, 1, 8],
        [1, 700, 1, 4],
    ];

    fn shape([batch, tokens, heads, head_dim]: [usize; 4]) -> AttentionShape {
        AttentionShape { batch, tokens, heads, head_dim }
    }

    fn forward(qkv: &[f32], shape: AttentionShape) -> Vec<f32> {
        let mut out = vec![f32::NAN; qkv.len() / 3];
        attention(qkv, shape, &mut out);
        out
    }

    fn backward(qkv: &[f32], d_out: &[f32], shape: AttentionShape) -> Vec<f32> {
        let mut d_qkv = vec![f32::NAN; qkv.len()];
        attention_backward(qkv, d_out, shape, &mut d_qkv);
        d_qkv
    }

    fn case(shape: AttentionShape) -> [Vec<f32>; 2] {
        let count = shape.batch * shape.tokens * shape.width();
        [values(3 * count, 1).iter().map(|x| 2.0 * x).collect(), values(count, 2)]
    }

    #[test]
    fn the_shapes_take_one_block_and_several() {
        let blocks = |tokens, matrices| {
            let shape = shape([1, tokens, 1, 64]);
            tokens.div_ceil(shape.block(matrices))
        };
        assert_eq!((blocks(197, 1), blocks(197, 2)), (1, 1));
        assert!(blocks(400, 2) > 1 && blocks(700, 1) > 1);
    }

    #[test]
    fn values_agree_with_f64() {
        for shape in SHAPES.map(shape) {
            let [qkv, _] = case(shape);
            assert_close(&forward(&qkv, shape), &reference::attention(&wide(&qkv), shape), 5e-6);
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        for shape in SHAPES.map(shape) {
            let [qkv, d_out] = case(shape);
            let gradient = wide(&backward(&qkv, &d_out, shape));
            let (qkv, d_out) = (wide(&qkv), wide(&d_out));
            let loss = |qkv: &[f64]| dot(&reference::attention(qkv, shape), &d_out);
            for part in 0..3 {
                // Along q, k and v apart, as their gradients differ in size.
                let mut direction = wide(&values(qkv.len(), 3));
                let width = shape.width();
                for (i, parts) in direction.chunks_exact_mut(width).enumerate() {
                    if i % 3 != part {
                        parts.fill(0.0);
                    }
                }
                let (slope, along) = (slope(loss, &qkv, &direction), dot(&gradient, &direction));
                let error = (slope - along).abs();
                assert!(
                    error < 2e-5 * slope.abs().max(1.0),
                    "{shape:?}, part {part}: {along}, not {slope}"
                );
            }
        }
    }

    #[test]
    fn every_gradient_of_a_small_case_agrees_with_its_difference() {
        let shape = shape([2, 3, 2, 5]);
        let [qkv, d_out] = case(shape);
        let gradient = backward(&qkv, &d_out, shape);
        let (qkv, d_out) = (wide(&qkv), wide(&d_out));
        let loss = |qkv: &[f64]| dot(&reference::attention(qkv, shape), &d_out);
        let expected: Vec<f64> = (0..qkv.len())
            .map(|i| {
                let mut direction = vec![0.0; qkv.len()];
                direction[i] = 1.0;
                slope(loss, &qkv, &direction)
            })
            .collect();
        assert_close(&gradient, &expected, 2e-6);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        // q·k / sqrt(d) between about -1e4 and 1e4.
        let shape = shape([1, 37, 2, 16]);
        let [qkv, d_out] = case(shape);
        let qkv: Vec<f32> = qkv.iter().map(|x| 25.0 * x).collect();
        let out = forward(&qkv, shape);
        assert_close(&out, &reference::attention(&wide(&qkv), shape), 1e-3);
        assert!(backward(&qkv, &d_out, shape).iter().all(|d| d.is_finite()));
    }

    #[test]
    fn what_an_earlier_call_left_behind_has_no_effect() {
        let shape = shape([1, 5, 1, 20]);
        let [qkv, d_out] = case(shape);
        let before = (forward(&qkv, shape), backward(&qkv, &d_out, shape));
        let other = AttentionShape { tokens: 37, ..shape };
        let nan = vec![f32::NAN; 37 * 60];
        assert!(forward(&nan, other)[0].is_nan());
        assert!(backward(&nan, &nan[..37 * 20], other)[0].is_nan());
        assert_eq!((forward(&qkv, shape), backward(&qkv, &d_out, shape)), before);
    }

    #[test]
    fn no_images_and_no_tokens_give_nothing() {
        for shape in [[0, 5, 2, 4], [2, 0, 2, 4]].map(shape) {
            assert!(forward(&[], shape).is_empty());
            assert!(backward(&[], &[], shape).is_empty());
        }
    }

    #[test]
    fn values_do_not_depend_on_the_number_of_threads() {
        let shape = shape([2, 400, 3, 8]);
        let [qkv, d_out] = case(shape);
        let [one, three] = on_threads(|| (forward(&qkv, shape), backward(&qkv, &d_out, shape)));
        assert_eq!(one, three);
    }
}
