//! WGSL on Vulkan drivers for which burn's kernels are no valid SPIR-V.
//!
//! burn 0.22 declares memory that a workgroup shares as a pointer to a pointer where a driver
//! lacks `VK_KHR_workgroup_memory_explicit_layout`, and drivers crash on it: Mesa's software
//! rasteriser until version 25. burn compiles to WGSL where a driver lacks the Vulkan memory
//! model at device scope, so that is hidden from it.

use std::ffi::c_void;
use std::sync::OnceLock;

use ash::vk;
use burn::tensor::wgpu::WgpuSetup;
use wgpu::hal::{self, Instance as _};

/// What burn's SPIR-V for shared memory needs.
const EXPLICIT_LAYOUT: &std::ffi::CStr = c"VK_KHR_workgroup_memory_explicit_layout";

/// Whether a driver cannot take burn's SPIR-V.
pub(super) fn needed(adapter: &wgpu::Adapter) -> bool {
    // SAFETY: the driver's adapter is only looked at.
    let vulkan = unsafe { adapter.as_hal::<hal::api::Vulkan>() };
    vulkan.is_some_and(|adapter| {
        !adapter.physical_device_capabilities().supports_extension(EXPLICIT_LAYOUT)
    })
}

/// A device on the `nth` Vulkan adapter of a kind, as burn would make it where there is no
/// SPIR-V.
pub(super) fn setup(kind: wgpu::DeviceType, nth: usize) -> Result<WgpuSetup, String> {
    let instance = instance().map_err(|error| error.to_string())?;
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let mut of_kind = adapters.into_iter().filter(|adapter| adapter.get_info().device_type == kind);
    let adapter = of_kind.nth(nth).ok_or("it is gone")?;
    let wanted = wgpu::DeviceDescriptor {
        required_features: adapter.features() - wgpu::Features::MAPPABLE_PRIMARY_BUFFERS,
        required_limits: adapter.limits(),
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        // SAFETY: nothing uses the features that are experiments.
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        ..Default::default()
    };
    let (device, queue) =
        pollster::block_on(adapter.request_device(&wanted)).map_err(|error| error.to_string())?;
    Ok(WgpuSetup { instance, adapter, device, queue, backend: wgpu::Backend::Vulkan })
}

/// wgpu's Vulkan instance, but for the answer about the memory model.
fn instance() -> Result<wgpu::Instance, hal::InstanceError> {
    let description = hal::InstanceDescriptor {
        name: "singer",
        flags: wgpu::InstanceFlags::default(),
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds::default(),
        backend_options: wgpu::BackendOptions::default(),
        telemetry: None,
        display: None,
    };
    // SAFETY: the second instance is the first one, with one function that asks the driver as
    // the first's does; the first outlives it, as it is dropped by the second's callback.
    unsafe {
        let own = hal::vulkan::Instance::init(&description)?;
        let shared = own.shared_instance();
        let raw = shared.raw_instance();
        let asks = raw.fp_v1_1().get_physical_device_features2;
        FEATURES.get_or_init(|| asks);
        let mut functions = raw.fp_v1_1().clone();
        functions.get_physical_device_features2 = features_without_device_scope;
        let raw = ash::Instance::from_parts_1_3(
            raw.handle(),
            raw.fp_v1_0().clone(),
            functions,
            raw.fp_v1_3().clone(),
        );
        let hidden = hal::vulkan::Instance::from_raw(
            shared.entry().clone(),
            raw,
            shared.instance_api_version(),
            0,
            None,
            shared.extensions().to_vec(),
            description.flags,
            description.memory_budget_thresholds,
            false,
            Some(Box::new(move || drop(own))),
        )?;
        Ok(wgpu::Instance::from_hal::<hal::api::Vulkan>(hidden))
    }
}

/// The loader's own function, the same for all instances.
static FEATURES: OnceLock<vk::PFN_vkGetPhysicalDeviceFeatures2> = OnceLock::new();

/// The driver's features, but for the Vulkan memory model at device scope.
unsafe extern "system" fn features_without_device_scope(
    device: vk::PhysicalDevice,
    features: *mut vk::PhysicalDeviceFeatures2<'_>,
) {
    let Some(asks) = FEATURES.get() else { return };
    // SAFETY: the caller's pointers are those that Vulkan asks for: a chain of structures that
    // each begin with their type and the next one's place.
    unsafe {
        asks(device, features);
        let mut next: *mut c_void = (*features).p_next;
        while let Some(structure) = next.cast::<vk::BaseOutStructure<'_>>().as_mut() {
            let memory_model = vk::StructureType::PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES;
            if structure.s_type == memory_model {
                let model = next.cast::<vk::PhysicalDeviceVulkanMemoryModelFeatures<'_>>();
                (*model).vulkan_memory_model_device_scope = vk::FALSE;
            }
            next = structure.p_next.cast();
        }
    }
}
