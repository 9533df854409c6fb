//! Choosing the device that computes.

#[cfg(not(target_family = "wasm"))]
mod adapters;
#[cfg(target_family = "wasm")]
mod browser;

#[cfg(not(target_family = "wasm"))]
pub use adapters::{AdapterReport, adapters, open};
#[cfg(target_family = "wasm")]
pub use browser::open_webgpu;

use burn::tensor::{Device, FloatDType, Tensor};

use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// A device ready for use.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    /// burn's handle, without autodiff.
    pub device: Device,
    /// What it is, for people.
    pub name: String,
    /// Whether it is the CPU backend.
    pub is_cpu: bool,
    /// The same GPU for our own shaders; none on the CPU backend.
    pub gpu: Option<Gpu>,
}

impl OpenDevice {
    /// The CPU backend.
    pub fn cpu() -> Self {
        let name = format!("CPU, {} threads", rayon::current_num_threads());
        Self { device: Device::flex(), name, is_cpu: true, gpu: None }
    }
}

/// A tensor's values on the host, row-major, once the device has computed them.
///
/// # Errors
/// [`Error::Gpu`] where the device ran out of memory, may not hold a tensor that
/// large, or is lost. burn reports this of any earlier operation only here.
#[cfg(not(target_family = "wasm"))]
pub fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor.try_into_data();
    data.map(|data| data.iter::<f32>().collect()).map_err(failed)
}

/// As [`read`], without blocking the thread, which a browser does not allow.
///
/// # Errors
/// As [`read`].
pub async fn read_async<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor.into_data_async().await;
    data.map(|data| data.iter::<f32>().collect()).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::gpu("computing", &error.to_string())
}

/// Whether half precision works on a device.
pub fn supports_f16(device: &Device) -> bool {
    device.supports_dtype(burn::tensor::DType::from(FloatDType::F16))
}
