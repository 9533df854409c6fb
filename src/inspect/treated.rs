use burn::tensor::Tensor;
use image::imageops::crop_imm;

use super::batches::sides;
use super::{Comparison, Picture};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::refine::{Refiner, closed_form};
use crate::run::{DistillConfig, RefineKind, treatment};
use crate::vit::Vit;

/// Images in a batch.
const BATCH: usize = 8;

impl Comparison {
    /// With a treatment of the teacher's artifacts in its default settings. What it needs to know
    /// of images is estimated on the middle of the pictures, as much of it as all have.
    ///
    /// # Errors
    /// [`Error::Setting`] for a kind that is trained with a student; those of
    /// [`closed_form`] and [`treatment`].
    pub fn treated(self, kind: RefineKind, pictures: &[Picture]) -> Result<Self> {
        let (vit, images) = common_crops(&self.teacher, pictures)?;
        let settings = DistillConfig::default();
        let normalise = self.teacher.preprocess().normalise;
        let refiner = match kind {
            RefineKind::Closed => {
                let found = closed_form(&vit, &images, &settings.closed, &mut |_, _| {})?;
                Some(Refiner::ClosedForm(found.adapters))
            }
            _ => treatment(kind, &settings, &vit, &images, normalise)?,
        };
        let refiner = refiner.ok_or_else(|| {
            let expected = "closed, neighbours, registers and averaged are made without a student";
            Error::setting("refine", serde_json::json!(kind), expected)
        })?;
        Ok(self.with_treatment(refiner))
    }
}

/// The middle of every picture, as much of it as all pictures have, for statistics that want
/// images of one size: batches `[B, 3, H, W]`, and the model for their patch grid.
///
/// # Errors
/// [`Error::NoImages`]; [`Error::Setting`] for pictures smaller than a patch; those of
/// [`Vit::with_grid`].
fn common_crops(model: &Model, pictures: &[Picture]) -> Result<(Vit, Vec<Tensor<4>>)> {
    let patch = model.config().patch_size;
    let least = |axis: usize| pictures.iter().map(|picture| sides(picture)[axis] / patch).min();
    let (Some(rows), Some(columns)) = (least(0), least(1)) else { return Err(Error::NoImages) };
    let vit = model.vit().with_grid(model.config().grid(), [rows, columns])?;
    let crop = |picture: &Picture| {
        let [height, width] = sides(picture);
        // Whole patches stay whole.
        let start = |side: usize, kept: usize| ((side / patch - kept) / 2 * patch) as u32;
        let [x, y] = [start(width, columns), start(height, rows)];
        let [wide, tall] = [columns, rows].map(|patches| (patches * patch) as u32);
        crop_imm(&picture.image, x, y, wide, tall).to_image()
    };
    let normalise = model.preprocess().normalise;
    let device = vit.device();
    let batch = |pictures: &[Picture]| {
        let crops: Vec<_> = pictures.iter().map(crop).collect();
        normalise.batch(&crops, &device)
    };
    let batches = pictures.chunks(BATCH).map(batch).collect::<Result<_>>()?;
    Ok((vit, batches))
}
