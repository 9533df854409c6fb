use std::path::Path;

use burn::nn::Linear;
use burn::tensor::Tensor;
use sha2::{Digest, Sha256};

use super::features::hex;
use crate::error::{Error, Result};
use crate::readback::read;
use crate::refine::{PARTS, PartsFile};
use crate::vit::Vit;

/// The projection by which a distillation compared its student's last block with its teacher,
/// kept for the features that are probed (Lift, arXiv 2511.15572): `P_l s` is as wide as the
/// teacher's tokens.
#[derive(Debug, Clone)]
pub struct Lift {
    projection: Linear,
    /// Of the class token, where the method has one apart.
    class: Option<Linear>,
    /// A hash of the weights.
    key: String,
}

impl PartialEq for Lift {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Lift {
    /// That of the distillation in `folder` for its student; none where the run trained no
    /// projection of the student's last block.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a damaged file, or one of a student of another width;
    /// [`Error::Gpu`].
    pub fn of_run(folder: &Path, student: &Vit) -> Result<Option<Self>> {
        let Some(parts) = PartsFile::of_run(folder)? else { return Ok(None) };
        let mut pairs = parts.layers()?.into_iter().zip(parts.student_layers()?);
        let last = pairs.find(|&(_, of_student)| of_student + 1 == student.depth());
        let Some((layer, _)) = last.filter(|&(layer, _)| parts.has_projection(layer)) else {
            return Ok(None);
        };
        let device = student.device();
        let projection = parts.projection(layer, &device)?;
        let class = parts.class_projection(layer, &device)?;
        let mut hash = Sha256::new();
        for linear in [Some(&projection), class.as_ref()].into_iter().flatten() {
            let [from, to] = linear.weight.dims();
            if from != student.embed_dim() {
                let reason = format!(
                    "its projection is of a student of width {from}; this model's is {}",
                    student.embed_dim()
                );
                return Err(Error::checkpoint(folder.join(PARTS), &reason));
            }
            hash.update(format!("{from} {to}"));
            let weight: Vec<f32> = read(linear.weight.val())?;
            let bias: Vec<f32> = linear.bias.as_ref().map_or(Ok(Vec::new()), |b| read(b.val()))?;
            weight.iter().chain(&bias).for_each(|value| hash.update(value.to_le_bytes()));
        }
        Ok(Some(Self { projection, class, key: hex(hash) }))
    }

    /// Width of the features, the teacher's.
    pub fn dim(&self) -> usize {
        self.projection.weight.dims()[1]
    }

    /// Identifies the weights.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The student's tokens in the teacher's width: `[B, T, D_S] -> [B, T, D]`.
    pub fn forward(&self, tokens: Tensor<3>, has_class_token: bool) -> Tensor<3> {
        let lifted = self.projection.forward(tokens.clone());
        match self.class.as_ref().filter(|_| has_class_token) {
            None => lifted,
            Some(class) => {
                let others = lifted.dims()[1] - 1;
                let class = class.forward(tokens.narrow(1, 0, 1));
                Tensor::cat(vec![class, lifted.narrow(1, 1, others)], 1)
            }
        }
    }
}
