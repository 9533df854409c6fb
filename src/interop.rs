//! burn's tensors as buffers for the shaders, without a copy through the host.
//!
//! Order of work: [`borrow`] has burn encode what a tensor still waits for, but burn
//! submits in batches, so [`run`] flushes burn's queue before it submits the
//! shaders. Both use one queue, so burn operations that come later see what the
//! shaders wrote, with no further wait. burn keeps one stream per thread and a flush
//! reaches only the caller's: tensors that another thread is still computing must
//! be waited for there (`device.sync()`) first.

use burn::backend::Wgpu;
use burn::backend::wgpu::CubeTensor;
use burn::tensor::{Device, FloatDType, Tensor};
use cubecl::client::Client;
use cubecl::server::BufferBinding;
use cubecl::wgpu::{AutoCompiler, WgpuServer};

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recording, Slice};

/// A tensor's memory, for as long as this lives.
#[derive(Debug)]
pub(crate) struct BorrowedBuffer {
    pub(crate) slice: Slice,
    /// Keeps the memory from being given to another tensor.
    _tensor: CubeTensor,
    /// Keeps it where it is: burn moves tensors that nothing is bound to when it
    /// cleans up its memory or runs short of it.
    _binding: BufferBinding,
}

/// Borrows a tensor to be read: contiguous, as f32.
pub(crate) fn borrow<const D: usize>(tensor: Tensor<D>) -> Result<BorrowedBuffer> {
    let tensor = tensor.cast(FloatDType::F32);
    let primitive = primitive(tensor.clone())?;
    if primitive.is_contiguous() {
        return buffer_of(primitive);
    }
    let whole = tensor.dims().map(|size| 0..size);
    let copy = Tensor::<D>::empty(tensor.dims(), &tensor.device()).slice_assign(whole, tensor);
    buffer_of(self::primitive(copy)?)
}

/// Borrows a tensor in the precision that it has; it must be contiguous.
pub(crate) fn borrow_as_stored<const D: usize>(tensor: Tensor<D>) -> Result<BorrowedBuffer> {
    let primitive = primitive(tensor)?;
    match primitive.is_contiguous() {
        true => buffer_of(primitive),
        false => Err(Error::shape("tensor", "it is a view of another one")),
    }
}

/// A new tensor and its memory, for a shader to write. Its content is undefined
/// until then.
pub(crate) fn output<const D: usize>(
    shape: [usize; D],
    device: &Device,
) -> Result<(Tensor<D>, BorrowedBuffer)> {
    let tensor = Tensor::<D>::empty(shape, (device, burn::tensor::DType::F32));
    let buffer = buffer_of(primitive(tensor.clone())?)?;
    Ok((tensor, buffer))
}

/// Records work on borrowed buffers and submits it after all that burn was asked for.
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

fn buffer_of(tensor: CubeTensor) -> Result<BorrowedBuffer> {
    // Bound first: the resource says where the memory is now.
    let binding = tensor.handle.clone().binding();
    let resource = tensor
        .client
        .get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone())
        .map_err(|error| Error::gpu("borrowing a tensor", &error.to_string()))?;
    let resource = resource.resource();
    let slice = Slice {
        buffer: resource.buffer.clone(),
        offset: resource.offset,
        size: resource.size.next_multiple_of(4),
    };
    Ok(BorrowedBuffer { slice, _tensor: tensor, _binding: binding })
}

/// What sends burn's work to a GPU.
pub(crate) fn client(device: &Device) -> Result<Client> {
    Ok(primitive(Tensor::<1>::empty([1], device))?.client)
}

fn primitive<const D: usize>(tensor: Tensor<D>) -> Result<CubeTensor> {
    let primitive = tensor.try_into_primitive::<Wgpu>().map_err(|_| Error::Placement)?;
    #[cfg(feature = "fusion")]
    let primitive = primitive
        .client
        .clone()
        .resolve_tensor_float::<burn::backend::wgpu::CubeBackend>(primitive);
    Ok(primitive)
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;
    use crate::gpu::{PatchNorm, Tokens};

    /// Has burn move what it may: a larger tensor makes it change to larger pages, and
    /// clean-up then empties the smaller ones.
    fn tidy_up(device: &Device, elements: usize) {
        let large = primitive(Tensor::<1>::ones([elements], device)).unwrap();
        device.sync().unwrap();
        drop(large);
        device.memory_cleanup();
        device.sync().unwrap();
    }

    #[test]
    fn burn_moves_a_tensor_but_not_while_a_shader_borrows_it() {
        let opened =
            crate::device::Device::open("software").expect("software Vulkan must be installed");
        let (device, gpu) = (opened.burn(), opened.gpu().expect("a GPU"));
        let patches = 1 << 16;

        let unborrowed = primitive(Tensor::<2>::ones([1, patches], device)).unwrap();
        let place = || buffer_of(unborrowed.clone()).unwrap().slice;
        let before = place();
        tidy_up(device, 2 << 20);
        assert_ne!(before, place(), "clean-up moves nothing, so the rest would show nothing");

        let input = borrow(Tensor::<3>::ones([1, patches, 4], device)).unwrap();
        let (norms, out) = output([1, patches], device).unwrap();
        tidy_up(device, 4 << 20);
        let slice = input.slice.clone();
        let tokens = Tokens { slice, images: 1, tokens: patches, dim: 4, prefix: 0 };
        run(gpu, device, |recording| PatchNorm::record(recording, &tokens, &out.slice)).unwrap();
        let found: Vec<f32> = norms.into_data().iter::<f32>().collect();
        assert!(found.iter().all(|&norm| norm == 2.0), "the output moved: {:?}", &found[..4]);
    }
}
