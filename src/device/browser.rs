use burn::tensor::Device;
use burn::tensor::wgpu::WgpuSetup;

use super::OpenDevice;
use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// Opens the browser's WebGPU adapter, once and before any tensor is made, with all
/// of its features and limits. The setup is for what draws to a canvas.
///
/// # Errors
/// [`Error::Device`] where the browser has no WebGPU or gives no adapter,
/// [`Error::GpuLimit`] where it allows less than WebGPU's defaults.
pub async fn open_webgpu() -> Result<(OpenDevice, WgpuSetup)> {
    let (device, setup) = Device::wgpu_options()
        .init_with_setup_async()
        .await
        .map_err(|error| Error::Device { wanted: "webgpu".into(), reason: error.to_string() })?;
    let gpu = Gpu::new(setup.device.clone(), setup.queue.clone())?;
    let name = setup.adapter.get_info().name;
    Ok((OpenDevice { device, name, is_cpu: false, gpu: Some(gpu) }, setup))
}
