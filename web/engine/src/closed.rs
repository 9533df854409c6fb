use image::RgbImage;
use serde::Serialize;
use singer::Device;
use singer::refine::{ClosedForm, ClosedSettings, closed_form_async};

use crate::error::{Fault, Result};
use crate::model::Model;

/// Most images that artifacts are looked for in.
const MOST_IMAGES: usize = 256;
/// Bytes of tokens that are held between blocks; those beyond are computed anew.
const MOST_HELD: usize = 512 << 20;

/// `Found` of types.d.ts.
#[derive(Debug, Serialize)]
pub struct Found {
    blocks: Vec<FoundBlock>,
    images: usize,
}

/// `FoundBlock` of types.d.ts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundBlock {
    block: usize,
    rank: usize,
    patches: f64,
    class_tokens: Option<f64>,
}

/// A teacher's refinement in closed form, estimated from images; `report` hears of each block
/// that is done and of the number of blocks.
pub async fn estimate(
    teacher: &Model,
    images: &[RgbImage],
    side: usize,
    device: &Device,
    report: &mut dyn FnMut(usize, usize),
) -> Result<ClosedForm> {
    if images.is_empty() || images.len() > MOST_IMAGES {
        let count = images.len();
        return Err(Fault::new(format!("{count} images: give 1 to {MOST_IMAGES}")));
    }
    let (vit, batches) = teacher.at_side(images, side, device).await?;
    let settings = ClosedSettings::default().with(|settings| settings.cache_bytes = MOST_HELD);
    Ok(closed_form_async(&vit, &batches, &settings, report).await?)
}

impl From<&ClosedForm> for Found {
    fn from(form: &ClosedForm) -> Self {
        let blocks = form.blocks.iter().map(|found| FoundBlock {
            block: found.block,
            rank: found.rank,
            patches: found.refined,
            class_tokens: found.class_token,
        });
        Self { blocks: blocks.collect(), images: form.images }
    }
}
