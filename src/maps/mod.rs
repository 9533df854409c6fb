//! Feature maps: norms, outliers, refinement and similarity of patch tokens, on a GPU or
//! the CPU; over all images of a set, principal components as colours ([`PcaColours`]) and
//! segments ([`Segments`]), on the host.

mod colouring;
mod fine;
mod kmeans;
mod patches;
mod pca;
mod refinement;

use burn::tensor::{Device as BurnDevice, Int, Tensor, TensorData};
use image::RgbaImage;

use crate::device::Device;
use crate::distill::singer::gram;
use crate::error::{Error, Result};
use crate::gpu::{
    self, ColorMap, CosineMap, Drawing, Gpu, GramMatrix, NormQuantile, PatchNorm, Slice, Tokens,
};
use crate::interop::{BorrowedBuffer, borrow, output, run};
#[cfg(not(target_family = "wasm"))]
use crate::readback::read;
use crate::readback::read_async;
use crate::tokens::{patch_norms, quantile};

use colouring::check_picture;
pub use colouring::{ColourRange, Colouring, Palette, Upsampling, draw, extent};
pub use fine::{FineFeatures, shifted};
pub use kmeans::{SegmentSettings, Segments};
#[cfg(not(target_family = "wasm"))]
pub(crate) use patches::check_patches;
pub use patches::{HeldFeatures, PatchFeatures};
pub use pca::{Pca, PcaColours};

/// The outliers of a batch: patches whose norm exceeds their image's quantile.
#[derive(Debug, Clone)]
pub struct Outliers {
    /// The quantile of each image, `[B, 1]`.
    pub threshold: Tensor<2>,
    /// 1 where the norm is above it, else 0, `[B, P]`.
    pub mask: Tensor<2>,
    /// How many are above it, `[B, 1]`.
    pub count: Tensor<2>,
}

/// Operations on feature maps of one device: the WGSL of `shaders/` on a GPU, burn's
/// operations on the CPU.
///
/// Every method takes tokens outside any autodiff graph. On a GPU the shaders run on
/// burn's own buffers and queue, after burn's pending work of the calling thread and
/// before its later work, so there is nothing to wait for. Tensors that another thread is
/// still computing need `device.sync()` on that thread first.
#[derive(Debug, Clone)]
pub struct FeatureMaps {
    device: BurnDevice,
    gpu: Option<Gpu>,
}

impl FeatureMaps {
    /// Maps for tensors of this device.
    pub fn new(device: &Device) -> Self {
        Self { device: device.burn().clone(), gpu: device.gpu().cloned() }
    }

    /// The device of the tensors.
    pub fn device(&self) -> &BurnDevice {
        &self.device
    }

    /// L2 norm of every patch token, `[B, T, D] -> [B, P]`; the first `prefix`
    /// tokens (class, registers) are left out.
    ///
    /// # Errors
    /// [`Error::Shape`] where no patch is left, [`Placement`](Error::Placement) for a tensor of
    /// another device or an autodiff graph, [`GpuLimit`](Error::GpuLimit) where one image
    /// exceeds a binding, [`Gpu`](Error::Gpu) where the device is lost.
    pub fn norms(&self, tokens: Tensor<3>, prefix: usize) -> Result<Tensor<2>> {
        let patches = patches_of(&tokens, prefix)?;
        let Some(gpu) = &self.gpu else {
            return Ok(patch_norms(tokens, prefix));
        };
        let device = tokens.device();
        let (result, out) = output([tokens.dims()[0], patches], &device)?;
        let (_buffer, tokens) = borrow_tokens(tokens, prefix)?;
        run(gpu, &device, |recording| PatchNorm::record(recording, &tokens, &out.slice))?;
        Ok(result)
    }

    /// The `q`-quantile of each image's norms `[B, P]`, and what exceeds it.
    ///
    /// # Errors
    /// [`Error::Setting`] for `q` outside 0 to 1, else as [`norms`](Self::norms).
    pub fn outliers(&self, norms: Tensor<2>, q: f64) -> Result<Outliers> {
        if !(0.0..=1.0).contains(&q) {
            return Err(Error::setting("quantile", q, "it must lie between 0 and 1"));
        }
        let shape = norms.dims();
        let Some(gpu) = &self.gpu else {
            let threshold = quantile(norms.clone(), q);
            let mask = norms.greater(threshold.clone().expand(shape)).float();
            let count = mask.clone().sum_dim(1);
            return Ok(Outliers { threshold, mask, count });
        };
        let device = norms.device();
        let (threshold, thresholds) = output([shape[0], 1], &device)?;
        let (mask, masks) = output(shape, &device)?;
        let (count, counts) = output([shape[0], 1], &device)?;
        let norms = borrow(norms)?;
        let slices = gpu::Outliers {
            thresholds: thresholds.slice.clone(),
            mask: masks.slice.clone(),
            counts: counts.slice.clone(),
        };
        run(gpu, &device, |recording| {
            NormQuantile::record(recording, &norms.slice, shape, q, &slices)
        })?;
        Ok(Outliers { threshold, mask, count })
    }

    /// Cosine similarity of every patch to the `marked` one of its image (one
    /// index an image, from 0): `[B, T, D] -> [B, P]`; 0 where either is zero.
    ///
    /// # Errors
    /// [`Error::Shape`] where an index or their number does not fit, else as
    /// [`norms`](Self::norms).
    pub fn cosine_to(
        &self,
        tokens: Tensor<3>,
        marked: &[usize],
        prefix: usize,
    ) -> Result<Tensor<2>> {
        let patches = patches_of(&tokens, prefix)?;
        let [batch, _, dim] = tokens.dims();
        if marked.len() != batch || marked.iter().any(|&index| index >= patches) {
            let reason = format!("{marked:?} do not fit {batch} images of {patches} patches");
            return Err(Error::shape("marked patches", reason));
        }
        let device = tokens.device();
        let Some(gpu) = &self.gpu else {
            let index: Vec<i32> = marked.iter().map(|&index| (index + prefix) as i32).collect();
            let index = Tensor::<3, Int>::from_data(TensorData::new(index, [batch, 1, 1]), &device);
            let chosen = tokens.clone().gather(1, index.expand([batch, 1, dim]));
            let tokens = tokens.narrow(1, prefix, patches);
            return Ok(cosine(tokens, chosen.expand([batch, patches, dim])));
        };
        let marked: Vec<u32> = marked.iter().map(|&index| index as u32).collect();
        let marked = gpu.upload("marked patches", &marked)?;
        let (result, out) = output([batch, patches], &device)?;
        let (_buffer, tokens) = borrow_tokens(tokens, prefix)?;
        run(gpu, &device, |recording| {
            CosineMap::to_marked(recording, &tokens, &marked, &out.slice)
        })?;
        Ok(result)
    }

    /// Cosine similarity patch by patch of two feature maps: `[B, T, D]` and
    /// `[B, T', D]` to `[B, P]`, with the number of prefix tokens of each; 0 where
    /// either is zero.
    ///
    /// # Errors
    /// [`Error::Shape`] where the patches differ in number or width, else as
    /// [`norms`](Self::norms).
    pub fn cosine_between(
        &self,
        a: Tensor<3>,
        b: Tensor<3>,
        prefix: [usize; 2],
    ) -> Result<Tensor<2>> {
        let patches = [patches_of(&a, prefix[0])?, patches_of(&b, prefix[1])?];
        let ([batch, _, dim], [batch_b, _, dim_b]) = (a.dims(), b.dims());
        if (batch, dim, patches[0]) != (batch_b, dim_b, patches[1]) {
            let [of_a, of_b] = patches;
            let reason = format!(
                "cannot compare [{batch}, {of_a}, {dim}] patches with [{batch_b}, {of_b}, {dim_b}]"
            );
            return Err(Error::shape("cosine similarity", reason));
        }
        let Some(gpu) = &self.gpu else {
            let a = a.narrow(1, prefix[0], patches[0]);
            return Ok(cosine(a, b.narrow(1, prefix[1], patches[1])));
        };
        let device = a.device();
        let (result, out) = output([batch, patches[0]], &device)?;
        let (_buffer_a, a) = borrow_tokens(a, prefix[0])?;
        let (_buffer_b, b) = borrow_tokens(b, prefix[1])?;
        run(gpu, &device, |recording| CosineMap::between(recording, &a, &b, &out.slice))?;
        Ok(result)
    }

    /// Gram matrix of the patch tokens scaled to unit length, `[B, T, D] -> [B, P, P]`.
    ///
    /// # Errors
    /// As [`norms`](Self::norms).
    pub fn gram(&self, tokens: Tensor<3>, prefix: usize) -> Result<Tensor<3>> {
        let patches = patches_of(&tokens, prefix)?;
        let Some(gpu) = &self.gpu else {
            return Ok(gram(tokens, prefix));
        };
        let device = tokens.device();
        let (result, out) = output([tokens.dims()[0], patches, patches], &device)?;
        let (_buffer, tokens) = borrow_tokens(tokens, prefix)?;
        run(gpu, &device, |recording| GramMatrix::record(recording, &tokens, &out.slice))?;
        Ok(result)
    }

    /// Mean squared difference of two Gram matrices, image by image: two batches
    /// `[B, T, D]` to `[B, 1]`. On a GPU neither matrix is stored.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes differ, else as [`norms`](Self::norms).
    pub fn gram_distance(&self, a: Tensor<3>, b: Tensor<3>, prefix: usize) -> Result<Tensor<2>> {
        patches_of(&a, prefix)?;
        if a.dims() != b.dims() {
            let reason = format!("cannot compare {:?} with {:?} tokens", a.dims(), b.dims());
            return Err(Error::shape("Gram matrix", reason));
        }
        let batch = a.dims()[0];
        let Some(gpu) = &self.gpu else {
            let difference = (gram(a, prefix) - gram(b, prefix)).square();
            return Ok(difference.mean_dim(2).mean_dim(1).reshape([batch, 1]));
        };
        let device = a.device();
        let (result, out) = output([batch, 1], &device)?;
        let (_buffer_a, a) = borrow_tokens(a, prefix)?;
        let (_buffer_b, b) = borrow_tokens(b, prefix)?;
        run(gpu, &device, |recording| GramMatrix::distance(recording, &a, &b, &out.slice))?;
        Ok(result)
    }

    /// A map `[h, w]` as a picture of `size` `[H, W]` pixels, over an image of
    /// that size where given.
    ///
    /// # Errors
    /// [`Error::Shape`] for an empty map or picture, and where the image under it is of
    /// another size; else as [`norms`](Self::norms).
    #[cfg(not(target_family = "wasm"))]
    pub fn picture(
        &self,
        map: Tensor<2>,
        size: [usize; 2],
        colouring: &Colouring,
        under: Option<&RgbaImage>,
    ) -> Result<RgbaImage> {
        check_picture(map.dims(), size, under)?;
        match &self.gpu {
            Some(gpu) => {
                let pixels = paint(gpu, map, size, size[1], colouring, under)?;
                let bytes: Vec<u8> = gpu.read(&pixels)?;
                image_of(bytes, size)
            }
            None => {
                let grid = map.dims();
                draw(&read(map)?, grid, size, colouring, under)
            }
        }
    }

    /// As `picture`, without blocking the thread, which a browser does not allow.
    ///
    /// # Errors
    /// As `picture`.
    pub async fn picture_async(
        &self,
        map: Tensor<2>,
        size: [usize; 2],
        colouring: &Colouring,
        under: Option<&RgbaImage>,
    ) -> Result<RgbaImage> {
        check_picture(map.dims(), size, under)?;
        match &self.gpu {
            Some(gpu) => {
                let pixels = paint(gpu, map, size, size[1], colouring, under)?;
                let bytes: Vec<u8> = gpu.read_async(&pixels).await?;
                image_of(bytes, size)
            }
            None => {
                let grid = map.dims();
                draw(&read_async(map).await?, grid, size, colouring, under)
            }
        }
    }

    /// The same picture in the GPU's memory, to be shown without reading it back:
    /// RGBA, a row every `row_stride` pixels. None on the CPU backend.
    ///
    /// # Errors
    /// As `picture`.
    pub fn picture_on_gpu(
        &self,
        map: Tensor<2>,
        size: [usize; 2],
        row_stride: usize,
        colouring: &Colouring,
        under: Option<&RgbaImage>,
    ) -> Result<Option<Slice>> {
        check_picture(map.dims(), size, under)?;
        let gpu = self.gpu.as_ref();
        gpu.map(|gpu| paint(gpu, map, size, row_stride, colouring, under)).transpose()
    }
}

fn image_of(bytes: Vec<u8>, [height, width]: [usize; 2]) -> Result<RgbaImage> {
    let found = bytes.len();
    RgbaImage::from_raw(width as u32, height as u32, bytes).ok_or_else(|| Error::Gpu {
        doing: "reading a picture back".into(),
        reason: format!("{found} bytes are not {height}x{width} pixels"),
    })
}

/// [`draw`] by the shader.
fn paint(
    gpu: &Gpu,
    map: Tensor<2>,
    size: [usize; 2],
    row_stride: usize,
    colouring: &Colouring,
    under: Option<&RgbaImage>,
) -> Result<Slice> {
    let drawing = Drawing {
        grid: map.dims(),
        size,
        row_stride,
        bilinear: colouring.upsampling == Upsampling::Bilinear,
        opacity: colouring.opacity,
    };
    let device = map.device();
    let values = borrow(map)?;
    let table = gpu.upload("colours", &colouring.palette.table())?;
    let range = match colouring.range {
        ColourRange::Fixed(low, high) => gpu.upload("range", &[low, high])?,
        ColourRange::Automatic => gpu.allocate("range", 2)?,
    };
    let pixels = gpu.allocate("picture", size[0] * row_stride)?;
    let under = under.map(|image| gpu.upload("image", image.as_raw())).transpose()?;
    run(gpu, &device, |recording| {
        if colouring.range == ColourRange::Automatic {
            ColorMap::extent(recording, &values.slice, &drawing, &range)?;
        }
        let (looks, under) = ([&table, &range], under.as_ref());
        ColorMap::record(recording, &values.slice, &drawing, looks, under, &pixels)
    })?;
    Ok(pixels)
}

/// The tokens as the shaders take them; the buffer must live until the work is submitted.
fn borrow_tokens(tokens: Tensor<3>, prefix: usize) -> Result<(BorrowedBuffer, Tokens)> {
    let [images, count, dim] = tokens.dims();
    let buffer = borrow(tokens)?;
    let tokens = Tokens { slice: buffer.slice.clone(), images, tokens: count, dim, prefix };
    Ok((buffer, tokens))
}

/// P, which must not be 0.
fn patches_of(tokens: &Tensor<3>, prefix: usize) -> Result<usize> {
    let [batch, count, dim] = tokens.dims();
    if prefix >= count || batch == 0 || dim == 0 {
        let reason = format!("{prefix} prefix tokens leave no patch of [{batch}, {count}, {dim}]");
        return Err(Error::shape("tokens", reason));
    }
    Ok(count - prefix)
}

/// Along the last dimension; 0 where either vector is zero.
fn cosine(a: Tensor<3>, b: Tensor<3>) -> Tensor<2> {
    let norm = |x: &Tensor<3>| x.clone().square().sum_dim(2).sqrt();
    let product = (norm(&a) * norm(&b)).clamp_min(1e-24);
    ((a * b).sum_dim(2) / product).squeeze_dim::<2>(2)
}
