use std::collections::BTreeMap;
use std::sync::Mutex;

use burn::tensor::wgpu::{WgpuBackend, WgpuSetup};
use burn::tensor::{Device as BurnDevice, DeviceKind};
use serde::Serialize;

use super::Device;
use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// An adapter that the system offers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AdapterReport {
    /// What to write as `device` to use it.
    pub choice: String,
    /// The adapter's name.
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software`, `cpu` or `other`.
    pub kind: String,
    /// The graphics API, or the CPU backend's name.
    pub api: String,
    /// Driver name and version.
    pub driver: String,
    /// Whether half precision works.
    pub f16: bool,
    /// Largest buffer that a kernel can bind, in MiB.
    pub max_binding_mib: u64,
}

/// The graphics APIs with full compute, best first.
const APIS: [(wgpu::Backends, &str); 3] = [
    (wgpu::Backends::VULKAN, "Vulkan"),
    (wgpu::Backends::METAL, "Metal"),
    (wgpu::Backends::DX12, "DX12"),
];

/// The adapters that can be chosen, best first; the CPU backend is the last.
pub fn adapters() -> Vec<AdapterReport> {
    let mut reports: Vec<AdapterReport> = Vec::new();
    for (api, name) in APIS {
        let found = wgpu_adapters(api);
        let usable = found.iter().any(|adapter| is_gpu(&adapter.get_info()));
        if usable || (reports.is_empty() && !found.is_empty()) {
            reports = describe(&found, name);
        }
        if usable {
            break;
        }
    }
    reports.push(AdapterReport {
        choice: "cpu".into(),
        name: format!("{} threads", rayon::current_num_threads()),
        kind: "cpu".into(),
        api: "burn flex".into(),
        driver: String::new(),
        f16: true,
        max_binding_mib: 0,
    });
    reports
}

impl Device {
    /// Opens a device by name: `auto` (the best GPU, else the CPU), `cpu`, `gpu` (an
    /// error where there is none), one of [`adapters`]' choices such as `gpu:1`, or
    /// `software` for a software rasteriser, which `auto` and `gpu` never take.
    ///
    /// # Errors
    /// [`Error::Device`] for an unknown name or a device that is not there.
    pub fn open(wanted: &str) -> Result<Self> {
        if wanted == "cpu" {
            return Ok(Self::cpu());
        }
        let failed = |reason: &str| Error::Device { wanted: wanted.into(), reason: reason.into() };
        let gpu_index = wanted.strip_prefix("gpu:").and_then(|index| index.parse::<usize>().ok());
        if !matches!(wanted, "auto" | "gpu" | "software") && gpu_index.is_none() {
            return Err(failed("not a device; known are auto, cpu, gpu, gpu:N and software"));
        }
        let reports = adapters();
        let choice = match wanted {
            "auto" | "gpu" => "gpu:0",
            other => other,
        };
        match reports.iter().position(|report| report.choice == choice) {
            Some(index) => start(&reports, index, wanted),
            None if wanted == "auto" => Ok(Self::cpu()),
            None if wanted == "software" => Err(failed(
                "there is no software rasteriser; on Debian, install mesa-vulkan-drivers",
            )),
            None => Err(failed("there is no such GPU")),
        }
    }
}

impl Device {
    /// The open device whose burn handle this is; a CPU where it is none that this process
    /// opened.
    pub(crate) fn of(burn: &BurnDevice) -> Self {
        let started = STARTED.lock().unwrap_or_else(|poison| poison.into_inner());
        let found = started.values().find(|device| device.burn() == burn).cloned();
        found.unwrap_or_else(|| Self { burn: burn.clone(), ..Self::cpu() })
    }
}

/// By choice: burn refuses to start the same adapter twice in a process.
static STARTED: Mutex<BTreeMap<String, Device>> = Mutex::new(BTreeMap::new());

/// Starts the adapter `reports[index]`.
fn start(reports: &[AdapterReport], index: usize, wanted: &str) -> Result<Device> {
    let report = &reports[index];
    // burn counts the adapters of each kind.
    let nth = reports[..index].iter().filter(|other| other.kind == report.kind).count();
    let kind = match report.kind.as_str() {
        "discrete" => DeviceKind::DiscreteGpu(nth),
        "integrated" => DeviceKind::IntegratedGpu(nth),
        "virtual" => DeviceKind::VirtualGpu(nth),
        "software" => DeviceKind::Cpu,
        _ => DeviceKind::DefaultDevice,
    };
    let mut started = STARTED.lock().unwrap_or_else(|poison| poison.into_inner());
    if let Some(device) = started.get(&report.choice) {
        return Ok(device.clone());
    }
    let api = match report.api.as_str() {
        // Asked for by name, Metal needs the native compiler; this falls back to WGSL.
        "Metal" => WgpuBackend::Auto,
        "DX12" => WgpuBackend::Dx12,
        _ => WgpuBackend::Vulkan,
    };
    let failed = |reason: String| Error::Device { wanted: wanted.into(), reason };
    super::kernel_cache::keep(reports);
    let options = BurnDevice::wgpu_options();
    // A driver that answers what it should not makes burn panic.
    let started_by_burn = std::panic::catch_unwind(|| match wgsl_only_setup(report, nth) {
        Some(setup) => {
            let setup = setup?;
            let device = options.setup(setup.clone()).init();
            device.map(|device| (device, setup)).map_err(|error| error.to_string())
        }
        None => {
            let options = options.device_kind(kind).graphics_api(api);
            options.init_with_setup().map_err(|error| error.to_string())
        }
    });
    let (burn, setup) =
        started_by_burn.unwrap_or_else(|_| Err("its driver is broken".into())).map_err(failed)?;
    let gpu = Gpu::within(setup.device, setup.queue, &setup.adapter.limits())?;
    #[cfg(feature = "autotune")]
    if !super::kernel_cache::tunes() {
        super::first_kernels::take(&burn)?;
    }
    let device = Device::on_gpu(burn, format!("{} ({})", report.name, report.api), gpu)?;
    started.insert(report.choice.clone(), device.clone());
    Ok(device)
}

/// A device for the `nth` adapter of a report's kind where burn must not choose the compiler.
#[cfg(target_vendor = "apple")]
fn wgsl_only_setup(_: &AdapterReport, _: usize) -> Option<Result<WgpuSetup, String>> {
    None
}

/// A device for the `nth` adapter of a report's kind where burn must not choose the compiler.
#[cfg(not(target_vendor = "apple"))]
fn wgsl_only_setup(report: &AdapterReport, nth: usize) -> Option<Result<WgpuSetup, String>> {
    if report.api != "Vulkan" {
        return None;
    }
    let found = wgpu_adapters(wgpu::Backends::VULKAN).into_iter();
    let adapter = found.filter(|of| kind_of(&of.get_info()) == report.kind).nth(nth)?;
    let kind = adapter.get_info().device_type;
    super::wgsl_only::needed(&adapter).then(|| super::wgsl_only::setup(kind, nth))
}

fn wgpu_adapters(api: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: api,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    pollster::block_on(instance.enumerate_adapters(api))
}

fn is_gpu(info: &wgpu::AdapterInfo) -> bool {
    info.device_type != wgpu::DeviceType::Cpu
}

fn kind_of(info: &wgpu::AdapterInfo) -> &'static str {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

/// Discrete GPUs first, software last; `gpu:N` counts the hardware ones.
fn describe(adapters: &[wgpu::Adapter], api: &str) -> Vec<AdapterReport> {
    let mut order: Vec<&wgpu::Adapter> = adapters.iter().collect();
    order.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    let mut gpus = 0;
    let report = |adapter: &&wgpu::Adapter| {
        let info = adapter.get_info();
        let kind = kind_of(&info);
        let choice = if is_gpu(&info) {
            gpus += 1;
            format!("gpu:{}", gpus - 1)
        } else {
            "software".to_owned()
        };
        AdapterReport {
            choice,
            name: info.name,
            kind: kind.to_owned(),
            api: api.to_owned(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            f16: adapter.features().contains(wgpu::Features::SHADER_F16),
            max_binding_mib: adapter.limits().max_storage_buffer_binding_size >> 20,
        }
    };
    order.iter().map(report).collect()
}
