use pathfinding::kuhn_munkres::kuhn_munkres_min;
use pathfinding::matrix::Matrix;

use crate::error::{Error, Result};

/// The student layer that learns from each teacher layer: the cheapest
/// one-to-one assignment between `l / teacher_depth` and `linspace(0, 1,
/// student_depth)` with the distance as cost (reference implementation).
///
/// # Errors
/// [`Error::Config`] where there are more teacher layers than student blocks.
pub fn map_layers(
    layers: &[usize],
    teacher_depth: usize,
    student_depth: usize,
) -> Result<Vec<usize>> {
    if layers.is_empty() {
        return Ok(Vec::new());
    }
    if layers.len() > student_depth {
        return Err(Error::config(format!(
            "{} teacher layers {layers:?} need as many student blocks, and the student has {student_depth}: \
             name fewer in singer.layers or use a deeper student",
            layers.len()
        )));
    }
    // Times teacher_depth * (student_depth - 1), all costs are whole numbers.
    let last = (student_depth - 1).max(1) as i64;
    let depth = teacher_depth as i64;
    let rows = layers.iter().map(|&layer| {
        (0..student_depth as i64).map(move |block| (layer as i64 * last - block * depth).abs())
    });
    let costs = Matrix::from_rows(rows).map_err(|error| Error::config(error.to_string()))?;
    Ok(kuhn_munkres_min(&costs).1)
}

/// The teacher layers to learn from in ascending order, with the last block.
///
/// # Errors
/// [`Error::Config`] for a layer that the teacher does not have and one named
/// twice.
pub fn with_last_layer(layers: &[usize], teacher_depth: usize) -> Result<Vec<usize>> {
    let mut layers = layers.to_vec();
    layers.sort_unstable();
    if let Some(pair) = layers.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::config(format!("singer.layers names layer {} twice", pair[0])));
    }
    let last = teacher_depth - 1;
    match layers.last() {
        Some(&layer) if layer > last => {
            return Err(Error::config(format!(
                "singer.layers names layer {layer}; the teacher's blocks are 0 to {last}"
            )));
        }
        Some(&layer) if layer == last => {}
        _ => layers.push(last),
    }
    Ok(layers)
}
