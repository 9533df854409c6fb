use pathfinding::kuhn_munkres::kuhn_munkres_min;
use pathfinding::matrix::Matrix;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which student layer learns from which teacher layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Mapping {
    /// The teacher's last block to the student's last block, the others by the reference's
    /// costs: every block of the student is trained.
    #[default]
    Last,
    /// By the reference's costs alone. Where teacher and student are equally deep, the
    /// teacher's last block goes to an earlier block of the student, and the blocks after it
    /// get no gradient from the features.
    Reference,
}

/// The student layer that learns from each teacher layer, ascending: the cheapest one-to-one
/// assignment between `l / teacher_depth` and `linspace(0, 1, student_depth)` with the
/// distance as cost (reference implementation), after `mapping` has set the last layer.
///
/// # Errors
/// [`Error::TooManyLayers`] where there are more teacher layers than student blocks.
pub fn map_layers(
    layers: &[usize],
    teacher_depth: usize,
    student_depth: usize,
    mapping: Mapping,
) -> Result<Vec<usize>> {
    if layers.len() > student_depth {
        return Err(Error::TooManyLayers { layers: layers.to_vec(), student_depth });
    }
    let last = layers.iter().position(|&layer| layer + 1 == teacher_depth);
    if let (Mapping::Last, Some(last)) = (mapping, last) {
        let mut others = layers.to_vec();
        others.remove(last);
        let mut mapped = cheapest(&others, teacher_depth, student_depth, student_depth - 1);
        mapped.insert(last, student_depth - 1);
        return Ok(mapped);
    }
    Ok(cheapest(layers, teacher_depth, student_depth, student_depth))
}

/// The cheapest assignment to the student's first `blocks` blocks.
fn cheapest(
    layers: &[usize],
    teacher_depth: usize,
    student_depth: usize,
    blocks: usize,
) -> Vec<usize> {
    if layers.is_empty() {
        return Vec::new();
    }
    // Times teacher_depth * (student_depth - 1), all costs are whole numbers.
    let last = (student_depth - 1).max(1) as i64;
    let depth = teacher_depth as i64;
    let cost = |place: usize| {
        let (layer, block) = (layers[place / blocks] as i64, (place % blocks) as i64);
        (layer * last - block * depth).abs()
    };
    let costs = (0..layers.len() * blocks).map(cost).collect();
    let costs = Matrix::from_vec(layers.len(), blocks, costs).expect("a cost for every pair");
    kuhn_munkres_min(&costs).1
}

/// The teacher layers to learn from in ascending order, with the last block.
///
/// # Errors
/// [`Error::Layer`] for a layer that the teacher does not have, [`Error::RepeatedLayer`] for
/// one named twice.
pub fn with_last_layer(layers: &[usize], teacher_depth: usize) -> Result<Vec<usize>> {
    let mut layers = layers.to_vec();
    layers.sort_unstable();
    if let Some(pair) = layers.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::RepeatedLayer { setting: "layers", layer: pair[0] });
    }
    let last = teacher_depth - 1;
    match layers.last() {
        Some(&layer) if layer > last => {
            return Err(Error::Layer { setting: "layers", layer, last });
        }
        Some(&layer) if layer == last => {}
        _ => layers.push(last),
    }
    Ok(layers)
}
