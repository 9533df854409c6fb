//! Choosing the device that computes.

#[cfg(not(target_family = "wasm"))]
mod adapters;
#[cfg(target_family = "wasm")]
mod browser;

#[cfg(not(target_family = "wasm"))]
pub use adapters::{AdapterReport, adapters, open};
#[cfg(target_family = "wasm")]
pub use browser::open_webgpu;

use burn::tensor::{Device, FloatDType};

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

/// Whether half precision works on a device.
pub fn supports_f16(device: &Device) -> bool {
    device.supports_dtype(burn::tensor::DType::from(FloatDType::F16))
}
