//! The operations by burn's own, for every backend and precision. On a GPU burn fuses what is element
//! by element.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{DType, FloatDType, Shape, Slice};

use super::backend::VitOps;

fn f32<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    match x.dtype() {
        DType::F32 => x,
        _ => B::float_cast(x, FloatDType::F32),
    }
}

/// `x` in `dtype`.
pub(super) fn to<B: Backend>(x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    match x.dtype() == dtype {
        true => x,
        false => B::float_cast(x, dtype.into()),
    }
}

/// `[E]` as a row.
fn row<B: Backend>(vector: FloatTensor<B>) -> FloatTensor<B> {
    let width = vector.shape()[0];
    B::float_reshape(vector, Shape::new([1, width]))
}

fn product<B: Backend>(x: FloatTensor<B>, w: FloatTensor<B>) -> FloatTensor<B> {
    let w = to::<B>(w, x.dtype());
    B::float_matmul(x, w)
}

pub(super) fn dense<B: Backend>(
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    b: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_add(f32::<B>(product::<B>(x, w)), row::<B>(b))
}

pub(super) fn norm_dense<B: VitOps>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    w: FloatTensor<B>,
    b: FloatTensor<B>,
    epsilon: f64,
    half: Option<FloatDType>,
) -> FloatTensor<B> {
    let x = B::norm(x, gamma, beta, epsilon);
    match half {
        None => B::dense(x, w, b),
        Some(half) => B::float_cast(B::dense(B::float_cast(x, half), w, b), half),
    }
}

pub(super) fn gelu_dense<B: VitOps>(
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    b: FloatTensor<B>,
) -> FloatTensor<B> {
    let dtype = x.dtype();
    B::dense(to::<B>(B::exact_gelu(f32::<B>(x)), dtype), w, b)
}

fn mean<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mean_dim(x, 1)
}

/// The normalised tokens and `1 / σ`, `[N, 1]`.
fn normalised<B: Backend>(x: FloatTensor<B>, epsilon: f64) -> [FloatTensor<B>; 2] {
    let centred = B::float_sub(x.clone(), mean::<B>(x));
    let variance = mean::<B>(B::float_mul(centred.clone(), centred.clone()));
    let scale = B::float_sqrt(B::float_add_scalar(variance, epsilon.into()));
    let scale = B::float_recip(scale);
    [B::float_mul(centred, scale.clone()), scale]
}

pub(super) fn norm<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f64,
) -> FloatTensor<B> {
    let [x, _] = normalised::<B>(x, epsilon);
    B::float_add(B::float_mul(x, row::<B>(gamma)), row::<B>(beta))
}

/// With `x̂` the normalised tokens and `g = γ dy`: `dx = (g − mean(g) − x̂ mean(g x̂)) / σ`.
pub(super) fn norm_gradients<B: VitOps>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    dy: FloatTensor<B>,
    epsilon: f64,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let [x, scale] = normalised::<B>(x, epsilon);
    let d_gamma = B::column_sums(B::float_mul(dy.clone(), x.clone()));
    let d_beta = B::column_sums(dy.clone());
    let g = B::float_mul(dy, row::<B>(gamma));
    let along = mean::<B>(B::float_mul(g.clone(), x.clone()));
    let dx = B::float_sub(B::float_sub(g.clone(), mean::<B>(g)), B::float_mul(x, along));
    (B::float_mul(dx, scale), d_gamma, d_beta)
}

/// `(1 + erf(x / √2)) / 2`.
fn normal_share<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let erf = B::float_erf(B::float_mul_scalar(x, std::f64::consts::FRAC_1_SQRT_2.into()));
    B::float_mul_scalar(B::float_add_scalar(erf, 1.0.into()), 0.5.into())
}

pub(super) fn gelu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x.clone(), normal_share::<B>(x))
}

/// `dy (Φ(x) + x φ(x))`.
pub(super) fn gelu_gradient<B: Backend>(x: FloatTensor<B>, dy: FloatTensor<B>) -> FloatTensor<B> {
    let square = B::float_mul(x.clone(), x.clone());
    let density = B::float_exp(B::float_mul_scalar(square, (-0.5).into()));
    let height = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2 / 2.0;
    let slope = B::float_mul_scalar(B::float_mul(x.clone(), density), height.into());
    B::float_mul(dy, B::float_add(normal_share::<B>(x), slope))
}

struct Heads<B: Backend> {
    /// Scaled by `1 / √d`; `[B H, T, d]`, as the others.
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    batch: usize,
    heads: usize,
    tokens: usize,
    dim: usize,
}

impl<B: Backend> Heads<B> {
    fn new(qkv: FloatTensor<B>, batch: usize, heads: usize) -> Self {
        let [rows, width] = qkv.shape().dims();
        let (tokens, dim) = (rows / batch, width / 3 / heads);
        let dtype = qkv.dtype();
        let qkv = B::float_reshape(qkv, Shape::new([batch, tokens, 3, heads, dim]));
        let qkv = B::float_permute(qkv, &[2, 0, 3, 1, 4]);
        // One copy here; as views of the permuted tensor, every product would copy.
        let count = batch * heads;
        let qkv = B::float_reshape(qkv, Shape::new([3 * count, tokens, dim]));
        let part = |index: usize| {
            let range = Slice::from(index * count..(index + 1) * count);
            B::float_slice(qkv.clone(), &[range, Slice::full(), Slice::full()])
        };
        // Scaled before the product, where half precision has more room.
        let scale = 1.0 / (dim as f64).sqrt();
        let query = B::float_mul_scalar(f32::<B>(part(0)), scale.into());
        let query = to::<B>(query, dtype);
        Self { query, key: part(1), value: part(2), batch, heads, tokens, dim }
    }

    /// The attention `softmax(q kᵀ)`, `[B H, T, T]` in f32.
    fn weights(&self) -> FloatTensor<B> {
        let scores = B::float_matmul(self.query.clone(), B::float_transpose(self.key.clone()));
        let scores = f32::<B>(scores);
        let largest = B::float_max_dim(scores.clone(), 2);
        let exps = B::float_exp(B::float_sub(scores, largest));
        B::float_div(exps.clone(), B::float_sum_dim(exps, 2))
    }

    /// `[N, D] -> [B H, T, d]`.
    fn split(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        let Self { batch, heads, tokens, dim, .. } = *self;
        let x = B::float_reshape(x, Shape::new([batch, tokens, heads, dim]));
        let x = B::float_swap_dims(x, 1, 2);
        B::float_reshape(x, Shape::new([batch * heads, tokens, dim]))
    }
}

pub(super) fn mix<B: Backend>(qkv: FloatTensor<B>, batch: usize, heads: usize) -> FloatTensor<B> {
    let dtype = qkv.dtype();
    let parts = Heads::<B>::new(qkv, batch, heads);
    let weights = to::<B>(parts.weights(), dtype);
    let Heads { value, tokens, dim, .. } = parts;
    let mixed = B::float_matmul(weights, value);
    let mixed = B::float_reshape(mixed, Shape::new([batch, heads, tokens, dim]));
    let mixed = B::float_swap_dims(mixed, 1, 2);
    B::float_reshape(mixed, Shape::new([batch * tokens, heads * dim]))
}

/// With P the attention: `dV = Pᵀ dO`, `dP = dO Vᵀ`, `dS = P (dP − Σ P dP)`, `dQ = dS K`,
/// `dK = dSᵀ Q`.
pub(super) fn mix_gradient<B: Backend>(
    qkv: FloatTensor<B>,
    dy: FloatTensor<B>,
    batch: usize,
    heads: usize,
) -> FloatTensor<B> {
    let dtype = qkv.dtype();
    let parts = Heads::<B>::new(qkv, batch, heads);
    let weights = parts.weights();
    let dy = parts.split(to::<B>(dy, dtype));
    let Heads { query, key, value, tokens, dim, .. } = parts;
    let d_weights = f32::<B>(B::float_matmul(dy.clone(), B::float_transpose(value)));
    let d_value = B::float_matmul(B::float_transpose(to::<B>(weights.clone(), dtype)), dy);
    let along = B::float_sum_dim(B::float_mul(weights.clone(), d_weights.clone()), 2);
    let d_scores = B::float_mul(weights, B::float_sub(d_weights, along));
    let d_scores = to::<B>(d_scores, dtype);
    let d_query = B::float_matmul(d_scores.clone(), key);
    let d_query = B::float_mul_scalar(f32::<B>(d_query), (1.0 / (dim as f64).sqrt()).into());
    let d_query = to::<B>(d_query, dtype);
    let d_key = B::float_matmul(B::float_transpose(d_scores), query);
    let all = B::float_cat(vec![d_query, d_key, d_value], 0);
    let all = B::float_reshape(all, Shape::new([3, batch, heads, tokens, dim]));
    let all = B::float_permute(all, &[1, 3, 0, 2, 4]);
    B::float_reshape(all, Shape::new([batch * tokens, 3 * heads * dim]))
}

pub(super) fn left_gradient<B: Backend>(dy: FloatTensor<B>, w: FloatTensor<B>) -> FloatTensor<B> {
    f32::<B>(product::<B>(dy, B::float_transpose(w)))
}

/// A sum over `rows` of a product of few outputs keeps few of a GPU's units busy: `[D, N] x [N, E]`
/// is done in this many parts of `N`, each a product of its own, that are added up.
fn parts(rows: usize, outputs: usize) -> usize {
    /// Outputs that one group of threads computes, and groups that fill a large GPU.
    const TILE: usize = 64 * 64;
    const GROUPS: usize = 256;
    /// Shorter sums are not worth a part.
    const ROWS: usize = 512;
    largest_divisor(rows, GROUPS.div_ceil(outputs.div_ceil(TILE)).min(rows / ROWS))
}

/// The largest divisor of a number that is at most `most`, at least 1.
fn largest_divisor(number: usize, most: usize) -> usize {
    (1..=most).rev().find(|divisor| number.is_multiple_of(*divisor)).unwrap_or(1)
}

pub(super) fn right_gradient<B: Backend>(x: FloatTensor<B>, dy: FloatTensor<B>) -> FloatTensor<B> {
    let ([rows, d], [_, e]) = (x.shape().dims(), dy.shape().dims());
    let parts = parts(rows, d * e);
    if parts == 1 {
        return f32::<B>(product::<B>(B::float_transpose(x), dy));
    }
    let dy = to::<B>(dy, x.dtype());
    let x = B::float_reshape(x, Shape::new([parts, rows / parts, d]));
    let dy = B::float_reshape(dy, Shape::new([parts, rows / parts, e]));
    let products = f32::<B>(B::float_matmul(B::float_transpose(x), dy));
    B::float_reshape(B::float_sum_dim(products, 0), Shape::new([d, e]))
}

/// In two steps of about √N rows: burn gives a column of a step to one thread.
pub(super) fn column_sums<B: Backend>(dy: FloatTensor<B>) -> FloatTensor<B> {
    let [rows, width] = dy.shape().dims();
    let first = largest_divisor(rows, rows.isqrt());
    let dy = B::float_reshape(f32::<B>(dy), Shape::new([rows / first, first, width]));
    B::float_reshape(B::float_sum_dim(B::float_sum_dim(dy, 1), 0), Shape::new([width]))
}
