use async_channel::Receiver;
use wgpu::BufferUsages;

use super::Gpu;
use crate::error::{Error, LimitKind, Result};

const READING: &str = "reading back";

/// Outcome of mapping a buffer.
type Mapped = std::result::Result<(), wgpu::BufferAsyncError>;

/// Part of a buffer that a shader reads or writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// The buffer; its usages must hold `STORAGE` and `COPY_SRC`.
    pub buffer: wgpu::Buffer,
    /// First byte.
    pub offset: u64,
    /// Bytes, a multiple of 4.
    pub size: u64,
}

impl Slice {
    /// Refuses a slice too short for `elements` values of four bytes: WebGPU would
    /// silently skip the reads and writes beyond its end.
    pub(super) fn check(&self, what: &str, elements: usize) -> Result<()> {
        let needed = 4 * elements as u64;
        if self.size < needed {
            let size = self.size;
            let reason = format!("the buffer has {size} bytes and needs {needed}");
            return Err(Error::shape(what, reason));
        }
        Ok(())
    }

    /// Whether two slices share a byte.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.buffer == other.buffer
            && self.offset < other.offset + other.size
            && other.offset < self.offset + self.size
    }
}

impl Gpu {
    /// A new buffer for `elements` values of four bytes, all zero.
    ///
    /// # Errors
    /// [`Error::GpuLimit`] where no buffer may be that large, [`Error::Gpu`] where
    /// memory runs out.
    pub fn allocate(&self, what: &str, elements: usize) -> Result<Slice> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let size = 4 * elements.max(1) as u64;
        let limit = self.limits().max_buffer_size;
        if size > limit {
            return Err(Error::GpuLimit {
                what: format!("{what} (bytes)"),
                needed: size,
                limit,
                kind: LimitKind::Size,
            });
        }
        let describe =
            wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        let buffer = self.checked(what, || self.device().create_buffer(&describe))?;
        Ok(Slice { buffer, offset: 0, size })
    }

    /// A new buffer with these values, of four bytes each.
    ///
    /// # Errors
    /// As [`Gpu::allocate`].
    pub fn upload<T: bytemuck::NoUninit>(&self, what: &str, values: &[T]) -> Result<Slice> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let slice = self.allocate(what, bytes.len().div_ceil(4))?;
        self.checked(what, || self.queue().write_buffer(&slice.buffer, 0, bytes))?;
        Ok(slice)
    }

    /// Reads a slice back to the host, after all work submitted so far.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device is lost.
    #[cfg(not(target_family = "wasm"))]
    pub fn read<T: bytemuck::Pod>(&self, slice: &Slice) -> Result<Vec<T>> {
        let (staging, mapped) = self.stage(slice)?;
        self.wait()?;
        // Another thread that waits may be the one that is about to answer.
        let mapped = pollster::block_on(mapped.recv());
        collect(&staging, mapped.map_err(|_| failed("it did not answer"))?)
    }

    /// Like `read`, without blocking the thread, which a browser does not allow. Outside
    /// of browsers another thread must [`wait`](Self::wait) meanwhile.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device is lost.
    pub async fn read_async<T: bytemuck::Pod>(&self, slice: &Slice) -> Result<Vec<T>> {
        let (staging, mapped) = self.stage(slice)?;
        collect(&staging, mapped.recv().await.map_err(|_| failed("it did not answer"))?)
    }

    /// A copy that is being mapped, and the channel that reports when it is.
    fn stage(&self, slice: &Slice) -> Result<(wgpu::Buffer, Receiver<Mapped>)> {
        let describe = wgpu::BufferDescriptor {
            label: Some("singer.read"),
            size: slice.size,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let (sender, receiver) = async_channel::bounded(1);
        let staging = self.checked(READING, || {
            let staging = self.device().create_buffer(&describe);
            let mut encoder = self.device().create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(&slice.buffer, slice.offset, &staging, 0, slice.size);
            self.queue().submit([encoder.finish()]);
            staging.map_async(wgpu::MapMode::Read, .., move |result| {
                let _ = sender.try_send(result);
            });
            staging
        })?;
        Ok((staging, receiver))
    }
}

fn collect<T: bytemuck::Pod>(staging: &wgpu::Buffer, mapped: Mapped) -> Result<Vec<T>> {
    mapped.map_err(|error| failed(&error.to_string()))?;
    let view = staging.get_mapped_range(..).map_err(|error| failed(&error.to_string()))?;
    Ok(bytemuck::pod_collect_to_vec(&view))
}

fn failed(reason: &str) -> Error {
    Error::Gpu { doing: READING.into(), reason: reason.into() }
}
