//! The hand-written gradients: each keeps the inputs of its operation and computes the rest anew.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, TensorMetadata};
use burn::tensor::{DType, FloatDType};

use super::backend::VitOps;
use super::generic;

impl<B: VitOps, C: CheckpointStrategy> VitOps for Autodiff<B, C> {
    fn dense(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        b: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Dense::Tokens.forward::<B, C>(x, w, b)
    }

    fn norm_dense(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        w: FloatTensor<Self>,
        b: FloatTensor<Self>,
        epsilon: f64,
        half: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (gamma, gamma_node), (beta, beta_node)) =
            (x.into_parts(), gamma.into_parts(), beta.into_parts());
        let ((w, w_node), (b, b_node)) = (w.into_parts(), b.into_parts());
        let nodes = [x_node, gamma_node, beta_node, w_node, b_node];
        match NormDense.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(tracked) => {
                let state = (x.clone(), gamma.clone(), beta.clone(), w.clone(), epsilon);
                tracked.finish(state, B::norm_dense(x, gamma, beta, w, b, epsilon, half))
            }
            OpsKind::UnTracked(untracked) => {
                untracked.finish(B::norm_dense(x, gamma, beta, w, b, epsilon, half))
            }
        }
    }

    fn gelu_dense(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        b: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Dense::Gelu.forward::<B, C>(x, w, b)
    }

    fn mix(qkv: FloatTensor<Self>, batch: usize, heads: usize) -> FloatTensor<Self> {
        let (qkv, node) = qkv.into_parts();
        match Mix.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(tracked) => {
                let y = B::mix(qkv.clone(), batch, heads);
                tracked.finish((qkv, batch, heads), y)
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::mix(qkv, batch, heads)),
        }
    }
}

/// What a product has on its left: the tokens, or their GELU.
#[derive(Debug, Clone, Copy)]
enum Dense {
    Tokens,
    Gelu,
}

impl Dense {
    fn forward<B: VitOps, C: CheckpointStrategy>(
        self,
        x: FloatTensor<Autodiff<B, C>>,
        w: FloatTensor<Autodiff<B, C>>,
        b: FloatTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let ((x, x_node), (w, w_node), (b, b_node)) =
            (x.into_parts(), w.into_parts(), b.into_parts());
        let product = match self {
            Self::Tokens => B::dense,
            Self::Gelu => B::gelu_dense,
        };
        let nodes = [x_node, w_node, b_node];
        match Backward::<B, 3>::prepare::<C>(self, nodes).compute_bound().stateful() {
            OpsKind::Tracked(tracked) => {
                let y = product(x.clone(), w.clone(), b);
                tracked.finish((x, w), y)
            }
            OpsKind::UnTracked(untracked) => untracked.finish(product(x, w, b)),
        }
    }
}

impl<B: VitOps> Backward<B, 3> for Dense {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let [x_node, w_node, b_node] = ops.parents;
        let (x, w) = ops.state;
        let precision = x.dtype();
        if let Some(node) = b_node {
            grads.register::<B>(node.id, B::column_sums(dy.clone()));
        }
        let dy = generic::to::<B>(dy, precision);
        if let Some(node) = w_node {
            let left = match self {
                Self::Tokens => x.clone(),
                Self::Gelu => {
                    let active = B::exact_gelu(generic::to::<B>(x.clone(), DType::F32));
                    generic::to::<B>(active, precision)
                }
            };
            grads.register::<B>(node.id, B::right_gradient(left, dy.clone()));
        }
        if let Some(node) = x_node {
            let d_left = B::left_gradient(dy, w);
            let dx = match self {
                Self::Tokens => d_left,
                Self::Gelu => B::gelu_gradient(generic::to::<B>(x, DType::F32), d_left),
            };
            grads.register::<B>(node.id, generic::to::<B>(dx, precision));
        }
    }
}

#[derive(Debug)]
struct NormDense;

impl<B: VitOps> Backward<B, 5> for NormDense {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(
        self,
        ops: Ops<Self::State, 5>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        // In the precision of the product.
        let dy = grads.consume::<B>(&ops.node);
        let [x_node, gamma_node, beta_node, w_node, b_node] = ops.parents;
        let (x, gamma, beta, w, epsilon) = ops.state;
        if let Some(node) = b_node {
            grads.register::<B>(node.id, B::column_sums(dy.clone()));
        }
        if let Some(node) = w_node {
            let normed = B::norm(x.clone(), gamma.clone(), beta, epsilon);
            let normed = generic::to::<B>(normed, dy.dtype());
            grads.register::<B>(node.id, B::right_gradient(normed, dy.clone()));
        }
        if x_node.is_none() && gamma_node.is_none() && beta_node.is_none() {
            return;
        }
        let d_normed = B::left_gradient(dy, w);
        let (dx, d_gamma, d_beta) = B::norm_gradients(x, gamma, d_normed, epsilon);
        for (node, gradient) in [(x_node, dx), (gamma_node, d_gamma), (beta_node, d_beta)] {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct Mix;

impl<B: VitOps> Backward<B, 1> for Mix {
    type State = (FloatTensor<B>, usize, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let [node] = ops.parents;
        let (qkv, batch, heads) = ops.state;
        if let Some(node) = node {
            grads.register::<B>(node.id, B::mix_gradient(qkv, dy, batch, heads));
        }
    }
}
