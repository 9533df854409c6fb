//! Further maps: over all images of a set, from patch features that are kept in temporary files.

mod gather;
mod joint;
mod store;
mod visual;

pub use visual::{Visual, VisualKind, VisualValues};

use super::Findings;
use super::batches::Batch;
use super::pass::Pass;
use crate::error::Result;
use gather::Gathered;

/// The further maps that the settings ask for, each with its image's index.
pub(super) fn draw(pass: &Pass<'_>, batches: &[Batch<'_>]) -> Result<Vec<(usize, Visual)>> {
    let wanted = |kind: VisualKind| pass.settings.visuals.contains(&kind);
    let joint = [VisualKind::Pca, VisualKind::Segments, VisualKind::Nearest];
    let mut features = Gathered::new();
    let mut found = Vec::new();
    if joint.into_iter().any(wanted) {
        for batch in batches {
            gather::gather(pass, batch, &mut features)?;
        }
    }
    for at in 0..pass.settings.layers.len() {
        let layer = joint::Layer::new(pass, &features, at);
        if wanted(VisualKind::Pca) {
            found.extend(layer.colours()?);
        }
        if wanted(VisualKind::Segments) {
            found.extend(layer.segments()?);
        }
        if wanted(VisualKind::Nearest) {
            found.extend(layer.nearest()?);
        }
    }
    if wanted(VisualKind::Attention) {
        for batch in batches {
            found.extend(gather::attention(pass, batch)?);
        }
    }
    Ok(found)
}

impl Findings {
    /// Adds the norms of the same images at another input size, as [`VisualKind::Sizes`]. Images
    /// are known by their names; what `other` lacks is left out.
    pub fn add_size(&mut self, other: &Self) {
        for image in &mut self.images {
            let Some(same) = other.images.iter().find(|same| same.name == image.name) else {
                continue;
            };
            for layer in &same.layers {
                let norms = layer.maps.iter().filter(|map| map.kind == super::MapKind::Norm);
                image.visuals.extend(norms.map(|map| {
                    let [least, median, largest] = map.summary;
                    let ratio = largest / median.max(f32::MIN_POSITIVE);
                    Visual {
                        layer: layer.layer,
                        kind: VisualKind::Sizes,
                        subject: map.subject.clone(),
                        part: format!("{} × {} px", same.size[1], same.size[0]),
                        of: String::new(),
                        grid: same.grid,
                        values: VisualValues::Numbers(map.values.clone()),
                        marked: None,
                        note: format!("{least:.3} to {largest:.3}, largest {ratio:.2} × median"),
                    }
                }));
            }
        }
    }
}
