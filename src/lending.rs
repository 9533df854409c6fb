//! burn's tensors as buffers for the shaders, without a copy through the host.
//!
//! Order of work: [`lend`] has burn encode what a tensor still waits for, but burn
//! submits in batches, so [`run`] flushes burn's queue before it submits the
//! shaders. Both use one queue, so burn operations that come later see what the
//! shaders wrote, with no further wait. burn keeps one stream a thread and a flush
//! reaches only the caller's: tensors that another thread is still computing must
//! be waited for there (`device.sync()`) first.

use burn::backend::Wgpu;
use burn::backend::wgpu::CubeTensor;
use burn::tensor::{Device, FloatDType, Tensor};
use cubecl::wgpu::{AutoCompiler, WgpuServer};

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recording, Slice};

/// A tensor's memory. The tensor is held, as its memory could be given away
/// otherwise before the shader is submitted.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) slice: Slice,
    _tensor: CubeTensor,
}

/// Lends a tensor to be read: contiguous, as f32.
pub(crate) fn lend<const D: usize>(tensor: Tensor<D>) -> Result<Lent> {
    let tensor = tensor.cast(FloatDType::F32);
    let primitive = primitive(tensor.clone())?;
    if primitive.is_contiguous() {
        return slice_of(primitive);
    }
    let whole = tensor.dims().map(|size| 0..size);
    let copy = Tensor::<D>::empty(tensor.dims(), &tensor.device()).slice_assign(whole, tensor);
    slice_of(self::primitive(copy)?)
}

/// Lends a tensor in the precision that it has; it must be contiguous.
pub(crate) fn lend_as_stored<const D: usize>(tensor: Tensor<D>) -> Result<Lent> {
    let primitive = primitive(tensor)?;
    match primitive.is_contiguous() {
        true => slice_of(primitive),
        false => Err(Error::config("the tensor is a view of another one")),
    }
}

/// A new tensor and its memory, for a shader to write. Its content is undefined
/// until then.
pub(crate) fn output<const D: usize>(
    shape: [usize; D],
    device: &Device,
) -> Result<(Tensor<D>, Lent)> {
    let tensor = Tensor::<D>::empty(shape, (device, burn::tensor::DType::F32));
    let lent = slice_of(primitive(tensor.clone())?)?;
    Ok((tensor, lent))
}

/// Records work on lent tensors and submits it after all that burn was asked for.
pub(crate) fn run(
    gpu: &Gpu,
    device: &Device,
    record: impl FnOnce(&mut Recording) -> Result<()>,
) -> Result<()> {
    let mut recording = gpu.record();
    record(&mut recording)?;
    device.flush().map_err(|error| Error::gpu("flushing", &error.to_string()))?;
    recording.submit()
}

fn slice_of(tensor: CubeTensor) -> Result<Lent> {
    let resource = tensor
        .client
        .get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone())
        .map_err(|error| Error::gpu("lending a tensor", &error.to_string()))?;
    let resource = resource.resource();
    let slice = Slice {
        buffer: resource.buffer.clone(),
        offset: resource.offset,
        size: resource.size.next_multiple_of(4),
    };
    Ok(Lent { slice, _tensor: tensor })
}

fn primitive<const D: usize>(tensor: Tensor<D>) -> Result<CubeTensor> {
    let primitive = tensor.try_into_primitive::<Wgpu>().map_err(|_| {
        Error::config("the tensor is not on the GPU of these maps, or belongs to an autodiff graph")
    })?;
    #[cfg(feature = "fusion")]
    let primitive = primitive
        .client
        .clone()
        .resolve_tensor_float::<burn::backend::wgpu::CubeBackend>(primitive);
    Ok(primitive)
}
