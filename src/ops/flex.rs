//! The operations on the CPU backend: f32 by our kernels, other precisions by burn's operations.

use std::borrow::Cow;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{Bytes, DType, Shape};

use super::backend::VitOps;
use super::cpu::{self, AttentionShape};
use super::generic;

/// The values in row-major order; copied where the tensor is a view of another order.
fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(values) => Cow::Borrowed(values),
        None => {
            let copy = tensor.to_contiguous().into_data();
            Cow::Owned(copy.try_into_vec().expect("f32"))
        }
    }
}

fn filled<const D: usize>(shape: [usize; D], fill: impl FnOnce(&mut [f32])) -> FlexTensor {
    let mut out = vec![0.0; shape.iter().product()];
    fill(&mut out);
    tensor(shape, out)
}

fn tensor<const D: usize>(shape: [usize; D], values: Vec<f32>) -> FlexTensor {
    let layout = Layout::contiguous(Shape::new(shape));
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

fn all_f32(tensors: &[&FlexTensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

fn dims(tensor: &FlexTensor) -> [usize; 2] {
    TensorMetadata::shape(tensor).dims()
}

impl VitOps for Flex {
    fn dense(x: FlexTensor, w: FlexTensor, b: FlexTensor) -> FlexTensor {
        if !all_f32(&[&x, &w, &b]) {
            return generic::dense::<Self>(x, w, b);
        }
        let ([rows, inner], [_, columns]) = (dims(&x), dims(&w));
        filled([rows, columns], |y| {
            cpu::linear(&values(&x), &values(&w), &values(&b), [rows, inner, columns], y);
        })
    }

    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        if !all_f32(&[&x, &gamma, &beta]) {
            return generic::norm::<Self>(x, gamma, beta, epsilon);
        }
        filled(dims(&x), |y| {
            cpu::layer_norm(&values(&x), &values(&gamma), &values(&beta), epsilon as f32, y);
        })
    }

    fn norm_gradients(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        if !all_f32(&[&x, &gamma, &dy]) {
            return generic::norm_gradients::<Self>(x, gamma, dy, epsilon);
        }
        let [_, width] = dims(&x);
        let (mut d_gamma, mut d_beta) = (vec![0.0; width], vec![0.0; width]);
        let dx = filled(dims(&x), |dx| {
            cpu::layer_norm_backward(
                &values(&x),
                &values(&gamma),
                epsilon as f32,
                &values(&dy),
                dx,
                &mut d_gamma,
                &mut d_beta,
            );
        });
        (dx, tensor([width], d_gamma), tensor([width], d_beta))
    }

    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match all_f32(&[&x]) {
            true => filled(dims(&x), |y| cpu::gelu(&values(&x), y)),
            false => generic::gelu::<Self>(x),
        }
    }

    fn gelu_gradient(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        match all_f32(&[&x, &dy]) {
            true => filled(dims(&x), |dx| cpu::gelu_backward(&values(&x), &values(&dy), dx)),
            false => generic::gelu_gradient::<Self>(x, dy),
        }
    }

    fn mix(qkv: FloatTensor<Self>, batch: usize, heads: usize) -> FloatTensor<Self> {
        if !all_f32(&[&qkv]) {
            return generic::mix::<Self>(qkv, batch, heads);
        }
        let (shape, [rows, dim]) = attention_shape(&qkv, batch, heads);
        filled([rows, dim], |y| cpu::attention(&values(&qkv), shape, y))
    }

    fn mix_gradient(
        qkv: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        batch: usize,
        heads: usize,
    ) -> FloatTensor<Self> {
        if !all_f32(&[&qkv, &dy]) {
            return generic::mix_gradient::<Self>(qkv, dy, batch, heads);
        }
        let (shape, _) = attention_shape(&qkv, batch, heads);
        filled(dims(&qkv), |d_qkv| {
            cpu::attention_backward(&values(&qkv), &values(&dy), shape, d_qkv);
        })
    }

    fn left_gradient(dy: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        if !all_f32(&[&dy, &w]) {
            return generic::left_gradient::<Self>(dy, w);
        }
        let ([rows, _], [inner, columns]) = (dims(&dy), dims(&w));
        filled([rows, inner], |dx| {
            cpu::linear_input_gradient(&values(&dy), &values(&w), [rows, inner, columns], dx);
        })
    }

    fn right_gradient(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        if !all_f32(&[&x, &dy]) {
            return generic::right_gradient::<Self>(x, dy);
        }
        let ([rows, inner], [_, columns]) = (dims(&x), dims(&dy));
        filled([inner, columns], |dw| {
            cpu::linear_weight_gradient(&values(&x), &values(&dy), [rows, inner, columns], dw);
        })
    }

    fn column_sums(dy: FloatTensor<Self>) -> FloatTensor<Self> {
        if !all_f32(&[&dy]) {
            return generic::column_sums::<Self>(dy);
        }
        let [_, columns] = dims(&dy);
        filled([columns], |sums| cpu::column_sums(&values(&dy), columns, sums))
    }
}

/// The shape of the attention of packed `qkv`, `[N, 3 D]`, and `[N, D]`.
fn attention_shape(qkv: &FlexTensor, batch: usize, heads: usize) -> (AttentionShape, [usize; 2]) {
    let [rows, width] = dims(qkv);
    let dim = width / 3;
    let (tokens, head_dim) = (rows / batch.max(1), dim / heads);
    (AttentionShape { batch, tokens, heads, head_dim }, [rows, dim])
}
