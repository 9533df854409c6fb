//! The device that computes: a GPU through wgpu, or the CPU.

#[cfg(not(target_family = "wasm"))]
mod adapters;
#[cfg(target_family = "wasm")]
mod browser;
mod capabilities;
#[cfg(all(feature = "autotune", not(target_family = "wasm")))]
mod first_kernels;
#[cfg(not(target_family = "wasm"))]
mod kernel_cache;
#[cfg(not(target_family = "wasm"))]
mod self_test;
#[cfg(not(any(target_family = "wasm", target_vendor = "apple")))]
mod wgsl_only;

#[cfg(not(target_family = "wasm"))]
pub use adapters::{AdapterReport, adapters};
pub use capabilities::{Capabilities, Compiler, MatrixUnit};
#[cfg(not(target_family = "wasm"))]
pub use kernel_cache::kernel_cache;
#[cfg(not(target_family = "wasm"))]
pub use self_test::{SelfTest, TestedPrecision};

use std::sync::Arc;

use burn::tensor::Device as BurnDevice;

use crate::error::Result;
use crate::gpu::Gpu;

/// An open device: what burn's tensors and our shaders compute on. Clones are cheap and
/// share the device.
///
/// ```
/// let device = singer::Device::open("cpu")?;
/// let ones = burn::tensor::Tensor::<2>::ones([2, 3], device.burn());
/// assert!(device.is_cpu() && device.gpu().is_none());
/// # assert_eq!(ones.dims(), [2, 3]);
/// # Ok::<(), singer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Device {
    burn: BurnDevice,
    name: String,
    capabilities: Arc<Capabilities>,
    /// None on the CPU backend.
    gpu: Option<Gpu>,
}

impl Device {
    /// The CPU.
    pub fn cpu() -> Self {
        let name = format!("CPU, {} threads", rayon::current_num_threads());
        let capabilities = Arc::new(Capabilities::cpu());
        Self { burn: BurnDevice::flex(), name, capabilities, gpu: None }
    }

    /// A GPU that burn has started.
    fn on_gpu(burn: BurnDevice, name: String, gpu: Gpu) -> Result<Self> {
        let capabilities = Arc::new(Capabilities::of(&burn)?);
        Ok(Self { burn, name, capabilities, gpu: Some(gpu) })
    }

    /// Name, graphics API or number of threads, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the CPU.
    pub fn is_cpu(&self) -> bool {
        self.gpu.is_none()
    }

    /// The GPU for our own shaders; none on the CPU.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.gpu.as_ref()
    }

    /// burn's handle, for tensors without gradients.
    pub fn burn(&self) -> &BurnDevice {
        &self.burn
    }

    /// burn's handle for what a training loop of your own trains: tensors on it record
    /// the operations that gradients need.
    pub fn autodiff(&self) -> BurnDevice {
        self.burn.clone().autodiff()
    }

    /// Shards that keep it busy: a CPU thread each, or one on a GPU; see
    /// [`Shards`](crate::train::Shards).
    pub fn shards(&self) -> usize {
        match self.is_cpu() {
            true => std::thread::available_parallelism().map_or(1, usize::from),
            false => 1,
        }
    }

    /// What its kernels are compiled to, its precisions, matrix units and memory.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}
