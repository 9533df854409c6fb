use burn::tensor::Device as BurnDevice;
use burn::tensor::wgpu::WgpuSetup;

use super::Device;
use crate::error::{Error, Result};
use crate::gpu::Gpu;

impl Device {
    /// Opens the browser's WebGPU adapter, once and before any tensor is made, with all
    /// of its features and limits. The setup is for what draws to a canvas.
    ///
    /// # Errors
    /// [`Error::Device`] where the browser has no WebGPU or gives no adapter,
    /// [`Error::GpuLimit`] where it allows less than WebGPU's defaults.
    pub async fn open_webgpu() -> Result<(Self, WgpuSetup)> {
        let failed = |reason| Error::Device { wanted: "webgpu".into(), reason };
        let started = BurnDevice::wgpu_options().init_with_setup_async().await;
        let (burn, setup) = started.map_err(|error| failed(error.to_string()))?;
        let gpu = Gpu::within(setup.device.clone(), setup.queue.clone(), &setup.adapter.limits())?;
        let name = setup.adapter.get_info().name;
        Ok((Self::on_gpu(burn, name, gpu)?, setup))
    }
}
