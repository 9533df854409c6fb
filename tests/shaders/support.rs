use burn::tensor::{Device as BurnDevice, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use singer::Device;
use singer::gpu::Gpu;
use singer::maps::FeatureMaps;

/// The software rasteriser. Its absence is a failure, not a reason to skip.
pub(crate) fn software() -> (Device, FeatureMaps) {
    let opened = Device::open("software").expect("software Vulkan must be installed");
    let maps = FeatureMaps::new(&opened);
    (opened, maps)
}

/// A device of our own on the software rasteriser, with WebGPU's default limits,
/// as a browser gives, and timestamps where it has them, changed as wanted; the second are the adapter's.
pub(crate) fn own_device(
    change: impl FnOnce(&mut wgpu::Limits, &wgpu::Limits),
) -> (wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    pollster::block_on(async {
        let adapters = instance.enumerate_adapters(wgpu::Backends::VULKAN).await;
        let software = adapters
            .into_iter()
            .find(|adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu)
            .expect("software Vulkan must be installed");
        let mut limits = wgpu::Limits::default();
        change(&mut limits, &software.limits());
        let wanted = wgpu::DeviceDescriptor {
            required_limits: limits,
            required_features: software.features() & wgpu::Features::TIMESTAMP_QUERY,
            ..Default::default()
        };
        software.request_device(&wanted).await.expect("a device")
    })
}

/// The shaders on such a device.
pub(crate) fn gpu(change: impl FnOnce(&mut wgpu::Limits, &wgpu::Limits)) -> Gpu {
    let (device, queue) = own_device(change);
    Gpu::new(device, queue).expect("the limits are enough")
}

/// A batch of tokens on the host.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub values: Vec<f32>,
    pub images: usize,
    pub tokens: usize,
    pub dim: usize,
    pub prefix: usize,
}

impl Batch {
    pub(crate) fn new([images, tokens, dim, prefix]: [usize; 4], seed: u64) -> Self {
        let values = normal(images * tokens * dim, seed);
        Self { values, images, tokens, dim, prefix }
    }

    /// Scales every seventh patch to a norm of about `norm` and zeroes every
    /// eleventh.
    pub(crate) fn with_extremes(mut self, norm: f32) -> Self {
        let typical = (self.dim as f32).sqrt();
        for (index, token) in self.values.chunks_mut(self.dim).enumerate() {
            let factor = match index {
                _ if index % 11 == 3 => 0.0,
                _ if index % 7 == 2 => norm / typical,
                _ => 1.0,
            };
            token.iter_mut().for_each(|value| *value *= factor);
        }
        self
    }

    pub(crate) fn patches(&self) -> usize {
        self.tokens - self.prefix
    }

    pub(crate) fn tensor(&self, device: &BurnDevice) -> Tensor<3> {
        let shape = [self.images, self.tokens, self.dim];
        Tensor::from_data(TensorData::new(self.values.clone(), shape), device)
    }

    /// One patch token.
    pub(crate) fn patch(&self, image: usize, patch: usize) -> &[f32] {
        let start = (image * self.tokens + self.prefix + patch) * self.dim;
        &self.values[start..start + self.dim]
    }
}

pub(crate) fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| StandardNormal.sample(&mut rng)).collect()
}

pub(crate) fn pick(below: usize, seed: u64) -> usize {
    ChaCha8Rng::seed_from_u64(seed).random_range(0..below)
}

pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The largest difference over the largest magnitude of `wanted`.
pub(crate) fn relative(found: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let worst = found.iter().zip(wanted).fold(0.0_f64, |most, (&found, &wanted)| {
        let difference = (f64::from(found) - wanted).abs();
        if difference.is_nan() { f64::INFINITY } else { most.max(difference) }
    });
    worst / scale.max(1e-30)
}

#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f32], wanted: &[f64], tolerance: f64) {
    let worst = relative(found, wanted);
    assert!(worst <= tolerance, "{what}: off by {worst:.2e} of the largest, above {tolerance:.0e}");
}

pub(crate) fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
