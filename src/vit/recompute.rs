//! Recomputation by block: less memory for another forward pass.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor};

use super::model::Vit;

/// A forward pass that kept the tokens entering each block and nothing else. The backward
/// pass runs the blocks again, one at a time from the last, so that the activations of one
/// alone are held (Chen et al. 2016, arXiv 1604.06174).
#[derive(Debug)]
pub struct Recompute {
    vit: Vit,
    /// `[B, 3, H, W]` on the plain device.
    image: Tensor<4>,
    /// The tokens entering each block, `[B, T, D]` on the plain device.
    inputs: Vec<Tensor<3>>,
    /// The tokens that were handed out, each with the block that they leave.
    leaves: Vec<(usize, Tensor<3>)>,
}

impl Vit {
    /// As [`intermediate`](Self::intermediate) of a model on the training device, with an
    /// image on the plain one: the tokens are where a training graph begins, and what
    /// carries their gradients on to the weights is [`Recompute::backward`].
    ///
    /// # Panics
    /// Where a layer is not a block's index.
    pub fn intermediate_recomputed(
        &self,
        image: Tensor<4>,
        layers: &[usize],
    ) -> (Vec<Tensor<3>>, Recompute) {
        let plain = self.valid();
        let count = layers.iter().max().map_or(0, |&last| last + 1);
        let mut inputs = Vec::with_capacity(count);
        let mut x = plain.embed(image.clone());
        for block in &plain.blocks[..count] {
            inputs.push(x.clone());
            x = block.forward(x);
        }
        let leaving = |&layer: &usize| {
            let tokens = inputs.get(layer + 1).unwrap_or(&x).clone();
            (layer, Tensor::from_inner(tokens).require_grad())
        };
        let leaves: Vec<_> = layers.iter().map(leaving).collect();
        let tokens = leaves.iter().map(|(_, tokens)| tokens.clone()).collect();
        (tokens, Recompute { vit: self.clone(), image, inputs, leaves })
    }
}

impl Recompute {
    /// The gradients of the weights that the tokens came from, by those of the tokens, which
    /// are taken out of `grads`.
    pub fn backward(mut self, grads: &mut Gradients) -> GradientsParams {
        let mut found = GradientsParams::new();
        let mut arriving: Option<Tensor<3>> = None;
        while let Some(input) = self.inputs.pop() {
            let index = self.inputs.len();
            let of_loss = self.leaves.iter().filter(|(layer, _)| *layer == index);
            for gradient in of_loss.filter_map(|(_, tokens)| tokens.grad_remove(grads)) {
                arriving = Some(match arriving {
                    Some(sum) => sum + gradient,
                    None => gradient,
                });
            }
            let Some(gradient) = arriving.take() else { continue };
            let block = &self.vit.blocks[index];
            let input = Tensor::from_inner(input).require_grad();
            let mut of_block = carried(block.forward(input.clone()), gradient);
            arriving = input.grad_remove(&mut of_block);
            collect(block, &mut of_block, &mut found);
        }
        if let Some(gradient) = arriving {
            let embedded = self.vit.embed(Tensor::from_inner(self.image));
            let mut of_embedding = carried(embedded, gradient);
            collect(&self.vit, &mut of_embedding, &mut found);
        }
        found
    }
}

/// The gradients of what `output` was made from, by its own.
fn carried(output: Tensor<3>, gradient: Tensor<3>) -> Gradients {
    (output * Tensor::from_inner(gradient)).sum().backward()
}

fn collect<M: Module>(module: &M, grads: &mut Gradients, into: &mut GradientsParams) {
    module.visit(&mut Collect { grads, into });
}

struct Collect<'a> {
    grads: &'a mut Gradients,
    into: &'a mut GradientsParams,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(self.grads) {
            self.into.register(param.id, gradient);
        }
    }
}
