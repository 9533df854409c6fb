//! The operations on `f32` slices for the CPU, forward and backward.
//!
//! Loops are written once on [`pulp`]'s vectors and run with AVX-512, AVX2, NEON or SIMD128, as the
//! processor has it. Work is split over rayon's threads where the current pool has several; values
//! do not depend on how many.

mod attention;
mod exp;
mod gelu;
mod layer_norm;
mod linear;
mod softmax;

pub(crate) use attention::{AttentionShape, attention, attention_backward};
pub(crate) use gelu::{gelu, gelu_backward};
pub(crate) use layer_norm::{layer_norm, layer_norm_backward};
pub(crate) use linear::{column_sums, linear, linear_input_gradient, linear_weight_gradient};

/// Whether the current pool has threads to share work with.
fn parallel() -> bool {
    rayon::current_num_threads() > 1
}

#[cfg(test)]
mod reference;
