//! Maps over all images of a set, and of attention.

use burn::tensor::Tensor;
use image::RgbaImage;
use image::imageops::{FilterType, resize};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use singer::figure::png;
use singer::maps::{HeldFeatures, PcaColours, SegmentSettings, Segments};
use singer::{Error, readback};

use crate::adapters::Adapters;
use crate::array::Array;
use crate::error::raised;
use crate::model::{Given, Model};

/// What `map` makes of the patch features of all images after each layer.
fn each_layer(
    py: Python<'_>,
    model: &Bound<'_, Model>,
    images: &Given,
    layers: &[usize],
    refine: Option<&Bound<'_, Adapters>>,
    map: impl Fn(&HeldFeatures) -> singer::Result<Array> + Send,
) -> PyResult<Vec<Array>> {
    let (model, refine) = (model.get(), refine.map(|refine| &refine.get().inner));
    let found = py.detach(|| {
        let vit = model.inner.vit();
        let (prefix, dim) = (vit.prefix_tokens(), vit.embed_dim());
        let grid = model.inner.config().grid();
        let mut found = vec![HeldFeatures::new(dim); layers.len()];
        model.tokens(images, layers, refine, |at, tokens| {
            let count = tokens.dims()[1] - prefix;
            let values = readback::read(tokens.narrow(1, prefix, count))?;
            values.chunks(count * dim).try_for_each(|image| found[at].push(grid, image.to_vec()))
        })?;
        found.iter().map(map).collect()
    });
    raised(py, found)
}

/// Three principal components as colours after each layer, `[B, P, 3]`; NaN for background.
#[pyfunction]
pub(crate) fn pca(
    py: Python<'_>,
    model: &Bound<'_, Model>,
    images: Given,
    layers: Vec<usize>,
    refine: Option<&Bound<'_, Adapters>>,
    foreground: Option<f64>,
) -> PyResult<Vec<Array>> {
    each_layer(py, model, &images, &layers, refine, |features| {
        let colours = PcaColours::fit(features, foreground)?.colours(features)?;
        let shape = vec![colours.len(), colours[0].len(), 3];
        Ok(Array::new(colours.into_iter().flatten().flatten().collect(), shape))
    })
}

/// Segments after each layer, `[B, P]`.
#[pyfunction]
pub(crate) fn segments(
    py: Python<'_>,
    model: &Bound<'_, Model>,
    images: Given,
    layers: Vec<usize>,
    refine: Option<&Bound<'_, Adapters>>,
    count: usize,
    seed: u64,
) -> PyResult<Vec<Array>> {
    let settings = SegmentSettings::default().with(|s| (s.count, s.seed) = (count, seed));
    each_layer(py, model, &images, &layers, refine, |features| {
        let labels = Segments::fit(features, &settings)?.labels;
        let shape = vec![labels.len(), labels[0].len()];
        let labels = labels.into_iter().flatten().map(|label| label as f32);
        Ok(Array::new(labels.collect(), shape))
    })
}

/// What a patch, or where none is marked the class token, attends to in each layer's block:
/// `[B, H, P]`.
#[pyfunction]
pub(crate) fn attention(
    py: Python<'_>,
    model: &Bound<'_, Model>,
    images: Given,
    layers: Vec<usize>,
    mark: Option<usize>,
    refine: Option<&Bound<'_, Adapters>>,
) -> PyResult<Vec<Array>> {
    let (model, refine) = (model.get(), refine.map(|refine| &refine.get().inner));
    let found = py.detach(|| {
        if refine.is_some_and(|refine| !refine.is_closed()) {
            let expected =
                "trained adapters refine what leaves a block; attention has a closed form only";
            return Err(Error::setting("refine", "trained", expected));
        }
        let vit = model.inner.vit();
        let prefix = vit.prefix_tokens();
        let query = match mark {
            Some(patch) => prefix + patch,
            None if vit.cls_token.is_some() => 0,
            None => {
                let expected = "the model has no class token: mark a patch";
                return Err(Error::setting("mark", "none", expected));
            }
        };
        if let Some(layer) = layers.iter().find(|&&layer| layer >= vit.depth()) {
            let expected = format!("the blocks are 0 to {}", vit.depth() - 1);
            return Err(Error::setting("layers", layer, expected));
        }
        let mut found = vec![(Vec::new(), vec![0; 3]); layers.len()];
        let mut take = |at: usize, tokens: Tensor<3>| {
            let rows = vit.blocks[layers[at]].attention_rows(tokens, &[query])?;
            let [batch, heads, _, all] = rows.dims();
            let (values, shape): &mut (Vec<f32>, Vec<usize>) = &mut found[at];
            values.extend(readback::read(rows.narrow(3, prefix, all - prefix))?);
            *shape = vec![shape[0] + batch, heads, all - prefix];
            Ok(())
        };
        // What enters a block leaves the one before it, or the embedding.
        let (first, later): (Vec<usize>, Vec<usize>) =
            (0..layers.len()).partition(|&at| layers[at] == 0);
        let before: Vec<usize> = later.iter().map(|&at| layers[at] - 1).collect();
        if !before.is_empty() {
            model.tokens(&images, &before, refine, |at, tokens| take(later[at], tokens))?;
        }
        if !first.is_empty() {
            for images in model.batches(&images)? {
                let tokens = vit.embed(images);
                first.iter().try_for_each(|&at| take(at, tokens.clone()))?;
            }
        }
        Ok(found.into_iter().map(|(values, shape)| Array::new(values, shape)).collect())
    });
    raised(py, found)
}

/// Colours `[rows, columns, 4]` as a PNG file of `size` pixels.
#[pyfunction]
pub(crate) fn painted<'py>(
    py: Python<'py>,
    values: Vec<u8>,
    grid: [u32; 2],
    size: [u32; 2],
) -> PyResult<Bound<'py, PyBytes>> {
    let ([rows, columns], [height, width]) = (grid, size);
    let found = values.len();
    let drawn = RgbaImage::from_raw(columns, rows, values).ok_or_else(|| {
        let expected = format!("they are not {rows}x{columns} colours");
        Error::setting("values", found, expected)
    });
    let file = drawn.and_then(|image| png(resize(&image, width, height, FilterType::Nearest)));
    Ok(PyBytes::new(py, &raised(py, file)?))
}
