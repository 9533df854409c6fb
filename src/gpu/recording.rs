use super::clock::Ticks;
use super::shader::{Params, Shader};
use super::{Gpu, Slice};
use crate::error::{Error, LimitKind, Result};

/// Dispatches that are submitted together, in the order in which they were added. Each
/// sees what those before it wrote.
#[must_use = "a recording does nothing until submitted"]
pub struct Recording<'a> {
    gpu: &'a Gpu,
    copies: Vec<(Slice, Slice)>,
    dispatches: Vec<Dispatch>,
}

struct Dispatch {
    label: &'static str,
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    groups: [u32; 3],
}

impl Gpu {
    /// Starts a recording.
    pub fn record(&self) -> Recording<'_> {
        Recording { gpu: self, copies: Vec::new(), dispatches: Vec::new() }
    }
}

impl<'a> Recording<'a> {
    /// The GPU that it is for.
    pub fn gpu(&self) -> &'a Gpu {
        self.gpu
    }

    /// Adds one dispatch, with its parameters at binding 0 and the slices at theirs.
    pub(super) fn dispatch<P: Params>(
        &mut self,
        shader: &'static Shader<P>,
        params: &P,
        slices: &[(u32, &Slice)],
        groups: [u32; 3],
    ) -> Result<()> {
        let device = self.gpu.device();
        let label = shader.source.label;
        let pipeline = self.gpu.pipeline(&shader.source)?;
        let limit = self.gpu.limits().max_storage_buffer_binding_size;
        let mut bound: Vec<(u32, Slice)> = Vec::with_capacity(slices.len());
        for &(binding, slice) in slices {
            if slice.size > limit {
                return Err(too_large(label, slice.size, limit));
            }
            // WebGPU refuses two writable bindings of the same bytes, and all of
            // ours count as writable.
            let twice = bound.iter().any(|(_, other)| other.overlaps(slice));
            let slice = if twice {
                let copy = self.gpu.allocate(label, (slice.size / 4) as usize)?;
                self.copies.push((slice.clone(), copy.clone()));
                copy
            } else {
                slice.clone()
            };
            bound.push((binding, slice));
        }
        let bindings = self.gpu.checked(label, || {
            // A uniform's size is a multiple of 16.
            let mut bytes = bytemuck::bytes_of(params).to_vec();
            bytes.resize(bytes.len().next_multiple_of(16), 0);
            let params = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes.len() as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            self.gpu.queue().write_buffer(&params, 0, &bytes);
            let mut entries =
                vec![wgpu::BindGroupEntry { binding: 0, resource: params.as_entire_binding() }];
            entries.extend(bound.iter().map(|(binding, slice)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &slice.buffer,
                    offset: slice.offset,
                    size: wgpu::BufferSize::new(slice.size),
                }),
            }));
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(label),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            })
        })?;
        self.dispatches.push(Dispatch { label, pipeline, bindings, groups });
        Ok(())
    }

    /// Submits the work, waits for it and returns the seconds that the device spent on
    /// it; none where the device has no timestamps.
    ///
    /// # Errors
    /// As [`Recording::submit`].
    #[cfg(not(target_family = "wasm"))]
    pub fn submit_timed(self) -> Result<Option<f64>> {
        let gpu = self.gpu;
        gpu.start_clock()?;
        self.submit()?;
        gpu.wait()?;
        gpu.stop_clock()
    }

    /// Submits the work; it runs after everything submitted before.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device is lost or out of memory.
    pub fn submit(self) -> Result<()> {
        let label = self.dispatches.last().map_or("nothing", |dispatch| dispatch.label);
        let gpu = self.gpu;
        let ticks = gpu.ticks();
        gpu.checked(label, || {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            for (from, to) in &self.copies {
                let (at, to_at) = (from.offset, to.offset);
                encoder.copy_buffer_to_buffer(&from.buffer, at, &to.buffer, to_at, from.size);
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(label),
                timestamp_writes: ticks.as_ref().map(Ticks::writes),
            });
            for dispatch in &self.dispatches {
                pass.set_pipeline(&dispatch.pipeline);
                pass.set_bind_group(0, &dispatch.bindings, &[]);
                let [x, y, z] = dispatch.groups;
                pass.dispatch_workgroups(x, y, z);
            }
            drop(pass);
            gpu.queue().submit([encoder.finish()]);
        })
    }
}

pub(super) fn too_large(what: &str, needed: u64, limit: u64) -> Error {
    Error::GpuLimit {
        what: format!("{what}, one binding (bytes)"),
        needed,
        limit,
        kind: LimitKind::Size,
    }
}
