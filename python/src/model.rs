//! A model: tokens, maps, export.

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use image::RgbaImage;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use singer::export::{ExportOptions, WeightDtype};
use singer::figure::png;
use singer::maps::{Colouring, FeatureMaps, Palette, Upsampling, draw};
use singer::model::{ImageSize, ModelSpec, locate};
use singer::refine::Refiner;
use singer::{Device, Error, Format, readback};

use crate::adapters::Adapters;
use crate::array::Array;
use crate::error::{raised, setting};
use crate::images::Pictures;

/// Images that are computed at once.
const BATCH: usize = 32;

/// A Vision Transformer on a device.
#[pyclass(frozen, module = "singer._singer")]
pub(crate) struct Model {
    pub(crate) inner: singer::Model,
    pub(crate) device: Device,
}

/// Images for a model.
#[derive(FromPyObject)]
pub(crate) enum Given {
    /// To be prepared.
    Pictures(Py<Pictures>),
    /// Prepared: f32 in the machine's order, and `[B, 3, H, W]`.
    Prepared(Vec<u8>, [usize; 4]),
}

impl Model {
    /// Batches of at most [`BATCH`] prepared images, `[B, 3, H, W]`.
    pub(crate) fn batches(&self, given: &Given) -> singer::Result<Vec<Tensor<4>>> {
        let (size, device) = (self.inner.config().img_size, self.device.burn());
        let batches: Vec<Tensor<4>> = match given {
            Given::Pictures(pictures) => {
                let images = pictures.get().images.chunks(BATCH);
                let prepared = images.map(|few| self.inner.preprocess().batch(few, size, device));
                prepared.collect::<singer::Result<_>>()?
            }
            Given::Prepared(bytes, [count, 3, height, width]) if [*height, *width] == size => {
                let values: Vec<f32> =
                    bytes.as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect();
                let each = 3 * height * width;
                let batch = |values: &[f32]| {
                    let shape = [values.len() / each, 3, *height, *width];
                    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
                };
                if values.len() != count * each {
                    return Err(Error::setting("images", values.len(), "they are cut off"));
                }
                values.chunks(BATCH * each).map(batch).collect()
            }
            Given::Prepared(_, shape) => {
                let expected = format!("prepared ones are [B, 3, {}, {}]", size[0], size[1]);
                return Err(Error::setting("images", format!("{shape:?}"), expected));
            }
        };
        match batches.is_empty() {
            true => Err(Error::setting("images", "empty", "there must be at least one")),
            false => Ok(batches),
        }
    }

    /// The tokens leaving each of `layers`, `[B, T, D]`, one batch after the other.
    pub(crate) fn tokens(
        &self,
        given: &Given,
        layers: &[usize],
        refine: Option<&singer::Adapters>,
        mut take: impl FnMut(usize, Tensor<3>) -> singer::Result<()>,
    ) -> singer::Result<()> {
        let vit = self.inner.vit();
        if let Some(layer) = layers.iter().find(|&&layer| layer >= vit.depth()) {
            let expected = format!("the blocks are 0 to {}", vit.depth() - 1);
            return Err(Error::setting("layers", layer, expected));
        }
        let refine = refine.map(|refine| refine.on(self.device.burn()));
        if let Some(refine) = &refine {
            refine.check(vit.depth(), vit.embed_dim())?;
        }
        let closed = refine.clone().filter(singer::Adapters::is_closed).map(Refiner::ClosedForm);
        for images in self.batches(given)? {
            let found = match &closed {
                Some(closed) => closed.intermediate(vit, images, layers),
                None => vit.intermediate(images, layers),
            };
            for (at, tokens) in found.into_iter().enumerate() {
                let trained = refine.as_ref().filter(|refine| !refine.is_closed());
                let adapter = trained.and_then(|refine| refine.get(layers[at]));
                let tokens = match adapter {
                    Some(adapter) => adapter.forward(tokens, vit.prefix_tokens()),
                    None => tokens,
                };
                take(at, tokens)?;
            }
        }
        Ok(())
    }
}

/// Values of one layer, batch by batch.
#[derive(Default, Clone)]
struct Gathered {
    values: Vec<f32>,
    shape: Vec<usize>,
}

impl Gathered {
    fn add<const N: usize>(&mut self, tensor: Tensor<N>) -> singer::Result<()> {
        let shape = tensor.dims();
        let values = readback::read(tensor)?;
        if self.shape.is_empty() {
            (self.values, self.shape) = (values, shape.to_vec());
        } else {
            self.values.extend(values);
            self.shape[0] += shape[0];
        }
        Ok(())
    }

    fn into_array(self) -> Array {
        Array::new(self.values, self.shape)
    }
}

#[pymethods]
impl Model {
    #[staticmethod]
    #[pyo3(signature = (reference, device, size, arch))]
    fn open(
        py: Python<'_>,
        reference: PathBuf,
        device: &str,
        size: Option<[usize; 2]>,
        arch: Option<String>,
    ) -> PyResult<Self> {
        let opened = py.detach(|| {
            let device = Device::open(device)?;
            let inner = if size.is_none() && arch.is_none() {
                singer::Model::open(&reference, &device)?
            } else {
                let mut spec = ModelSpec::weights(locate(&reference, &mut |_, _, _| {})?);
                spec.arch = arch;
                spec.img_size = size.map(ImageSize::Sides);
                singer::Model::new(spec, 0, &device)?
            };
            Ok(Self { inner, device })
        });
        raised(py, opened)
    }

    #[getter]
    fn arch(&self) -> &str {
        self.inner.arch()
    }

    #[getter]
    fn device(&self) -> &str {
        self.device.name()
    }

    #[getter]
    fn img_size(&self) -> [usize; 2] {
        self.inner.config().img_size
    }

    #[getter]
    fn patch_size(&self) -> usize {
        self.inner.config().patch_size
    }

    #[getter]
    fn embed_dim(&self) -> usize {
        self.inner.config().embed_dim
    }

    #[getter]
    fn depth(&self) -> usize {
        self.inner.config().depth
    }

    #[getter]
    fn num_prefix_tokens(&self) -> usize {
        self.inner.vit().prefix_tokens()
    }

    #[getter]
    fn grid(&self) -> [usize; 2] {
        self.inner.config().grid()
    }

    #[getter]
    fn num_parameters(&self) -> usize {
        self.inner.vit().num_params()
    }

    #[getter]
    fn mean(&self) -> [f32; 3] {
        self.inner.preprocess().normalise.mean
    }

    #[getter]
    fn std(&self) -> [f32; 3] {
        self.inner.preprocess().normalise.std
    }

    #[getter]
    fn assumed(&self) -> Vec<String> {
        self.inner.assumed().to_vec()
    }

    fn features(
        &self,
        py: Python<'_>,
        images: Given,
        layers: Vec<usize>,
        refine: Option<&Bound<'_, Adapters>>,
    ) -> PyResult<Vec<Array>> {
        let refine = refine.map(|refine| &refine.get().inner);
        let mut found = vec![Gathered::default(); layers.len()];
        let take = |at: usize, tokens| found[at].add(tokens);
        let outcome = py.detach(|| self.tokens(&images, &layers, refine, take));
        raised(py, outcome)?;
        Ok(found.into_iter().map(Gathered::into_array).collect())
    }

    /// Maps `[B, P]` of patches after each layer: their norms, or where a patch is marked their
    /// cosine similarity to it.
    fn maps(
        &self,
        py: Python<'_>,
        images: Given,
        layers: Vec<usize>,
        mark: Option<usize>,
        refine: Option<&Bound<'_, Adapters>>,
    ) -> PyResult<Vec<Array>> {
        let refine = refine.map(|refine| &refine.get().inner);
        let (maps, prefix) = (FeatureMaps::new(&self.device), self.inner.vit().prefix_tokens());
        let mut found = vec![Gathered::default(); layers.len()];
        let take = |at: usize, tokens: Tensor<3>| {
            let map = match mark {
                None => maps.norms(tokens, prefix)?,
                Some(mark) => {
                    let marked = vec![mark; tokens.dims()[0]];
                    maps.cosine_to(tokens, &marked, prefix)?
                }
            };
            found[at].add(map)
        };
        let outcome = py.detach(|| self.tokens(&images, &layers, refine, take));
        raised(py, outcome)?;
        Ok(found.into_iter().map(Gathered::into_array).collect())
    }

    fn export(
        &self,
        py: Python<'_>,
        path: PathBuf,
        to: &str,
        dtype: &str,
        replace: bool,
        head: bool,
    ) -> PyResult<(Vec<(PathBuf, u64)>, Vec<String>)> {
        let format = match to {
            "timm" => Format::Timm,
            "hf" | "transformers" => Format::Transformers,
            "onnx" => Format::Onnx,
            _ => return Err(setting(py, format!("to is {to}; use timm, hf or onnx"))),
        };
        let mut options = ExportOptions::default();
        options.replace = replace;
        options.dtype = match dtype {
            "f32" => WeightDtype::F32,
            "f16" => WeightDtype::F16,
            "bf16" => WeightDtype::Bf16,
            _ => return Err(setting(py, format!("dtype is {dtype}; use f32, f16 or bf16"))),
        };
        let written = py.detach(|| match head {
            true => self.inner.export_with(format, path, &options),
            false => self.inner.clone().without_head().export_with(format, path, &options),
        });
        let written = raised(py, written)?;
        Ok((written.files, written.notes))
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let outcome = py.detach(|| self.inner.save(path));
        raised(py, outcome)
    }
}

/// A map `[rows, columns]` as a PNG file of `size` pixels, with one colour scale from `low` to `high`.
#[pyfunction]
pub(crate) fn coloured<'py>(
    py: Python<'py>,
    values: Vec<f32>,
    grid: [usize; 2],
    size: [usize; 2],
    palette: &str,
    range: (f32, f32),
) -> PyResult<Bound<'py, PyBytes>> {
    let palette = match palette {
        "inferno" => Palette::Inferno,
        "viridis" => Palette::Viridis,
        _ => return Err(setting(py, format!("palette is {palette}; use inferno or viridis"))),
    };
    let colouring = Colouring {
        palette,
        upsampling: Upsampling::Nearest,
        range: singer::maps::ColourRange::Fixed(range.0, range.1),
        opacity: 1.0,
    };
    let drawn: singer::Result<RgbaImage> = draw(&values, grid, size, &colouring, None);
    let file = raised(py, drawn.and_then(png))?;
    Ok(PyBytes::new(py, &file))
}
