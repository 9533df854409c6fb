use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::clock::Clock;
use super::compose::Source;
use crate::error::{Error, LimitKind, Result};

/// A wgpu device and queue with the pipelines made on them so far.
///
/// Cloning is cheap and shares the pipelines.
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    pipelines: Mutex<HashMap<&'static str, wgpu::ComputePipeline>>,
    clock: Mutex<Option<Clock>>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("device", &self.inner.device).finish_non_exhaustive()
    }
}

impl Gpu {
    /// For a device and its queue.
    ///
    /// # Errors
    /// [`Error::GpuLimit`] where the device allows less than WebGPU's default
    /// limits for a workgroup.
    pub fn new(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let limits = device.limits();
        Self::within(device, queue, &limits)
    }

    /// Like [`new`](Self::new), with buffers and bindings within the adapter's limits too:
    /// a device made for 64-bit addresses may report more than WGSL can index.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn within(
        device: wgpu::Device,
        queue: wgpu::Queue,
        adapter: &wgpu::Limits,
    ) -> Result<Self> {
        let mut limits = device.limits();
        let binding = &mut limits.max_storage_buffer_binding_size;
        *binding = adapter.max_storage_buffer_binding_size.min(*binding);
        limits.max_buffer_size = adapter.max_buffer_size.min(limits.max_buffer_size);
        // The shaders may use all that WebGPU gives by default.
        let needs = wgpu::Limits::default();
        type Limit = fn(&wgpu::Limits) -> u32;
        let of_a_shader: [(&str, Limit); 3] = [
            ("invocations a workgroup", |of| of.max_compute_invocations_per_workgroup),
            ("workgroup memory in bytes", |of| of.max_compute_workgroup_storage_size),
            ("storage buffers a shader", |of| of.max_storage_buffers_per_shader_stage),
        ];
        for (what, limit) in of_a_shader {
            let (needed, limit) = (limit(&needs), limit(&limits));
            if limit < needed {
                return Err(Error::GpuLimit {
                    what: what.into(),
                    needed: needed.into(),
                    limit: limit.into(),
                    kind: LimitKind::Device,
                });
            }
        }
        let (pipelines, clock) = Default::default();
        Ok(Self { inner: Arc::new(Inner { device, queue, limits, pipelines, clock }) })
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The queue of the device.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// The device's limits.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    /// Number of pipelines made so far.
    pub fn pipelines(&self) -> usize {
        self.inner.pipelines.lock().unwrap_or_else(|poison| poison.into_inner()).len()
    }

    /// The clock that times recordings, if it runs.
    pub(super) fn clock(&self) -> MutexGuard<'_, Option<Clock>> {
        self.inner.clock.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// The pipeline of a shader, made at its first use.
    pub(super) fn pipeline(&self, shader: &'static Source) -> Result<wgpu::ComputePipeline> {
        let mut pipelines =
            self.inner.pipelines.lock().unwrap_or_else(|poison| poison.into_inner());
        if let Some(pipeline) = pipelines.get(shader.label) {
            return Ok(pipeline.clone());
        }
        let wgsl = shader.compose()?.wgsl;
        let pipeline = self.checked(shader.label, || {
            let module = self.inner.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(shader.label),
                source: wgpu::ShaderSource::Wgsl(wgsl.into()),
            });
            self.inner.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(shader.label),
                layout: None,
                module: &module,
                entry_point: Some(shader.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    // Every shader writes its workgroup memory before it reads it.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            })
        })?;
        pipelines.insert(shader.label, pipeline.clone());
        Ok(pipeline)
    }

    /// Runs `work` and returns what the device reports about it as an error.
    ///
    /// In a browser errors arrive later, at the handler that the device's owner set:
    /// waiting for them would block the page.
    pub(super) fn checked<R>(&self, doing: &str, work: impl FnOnce() -> R) -> Result<R> {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let scopes = [OutOfMemory, Validation, Internal]
            .map(|filter| self.inner.device.push_error_scope(filter));
        let result = work();
        let [memory, validation, internal] = scopes;
        let internal = internal.pop();
        let validation = validation.pop();
        let memory = memory.pop();
        let found = async { (internal.await, validation.await, memory.await) };
        reported(doing, found).map(|()| result)
    }

    /// Waits until everything submitted so far is done.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device is lost or does not answer for ten minutes.
    #[cfg(not(target_family = "wasm"))]
    pub fn wait(&self) -> Result<()> {
        let wait = wgpu::PollType::Wait {
            submission_index: None,
            timeout: Some(std::time::Duration::from_secs(600)),
        };
        let done = self.checked("waiting", || self.inner.device.poll(wait))?;
        done.map(drop)
            .map_err(|error| Error::Gpu { doing: "waiting".into(), reason: error.to_string() })
    }
}

/// What the error scopes internal, validation and memory found.
type Found = (Option<wgpu::Error>, Option<wgpu::Error>, Option<wgpu::Error>);

#[cfg(target_family = "wasm")]
fn reported(_doing: &str, _found: impl Future<Output = Found>) -> Result<()> {
    Ok(())
}

#[cfg(not(target_family = "wasm"))]
fn reported(doing: &str, found: impl Future<Output = Found>) -> Result<()> {
    let found = pollster::block_on(found);
    match found.2.or(found.0).or(found.1) {
        None => Ok(()),
        Some(wgpu::Error::OutOfMemory { .. }) => {
            Err(Error::Gpu { doing: doing.into(), reason: "it is out of memory".into() })
        }
        Some(error) => Err(Error::Gpu { doing: doing.into(), reason: one_line(&error) }),
    }
}

/// wgpu's errors are several lines with an indented cause.
#[cfg(not(target_family = "wasm"))]
fn one_line(error: &wgpu::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
