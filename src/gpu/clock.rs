use super::{Gpu, Slice};
use crate::error::Result;

/// Timestamps of a clock; two go to each recording.
const TIMESTAMPS: u32 = 1024;

/// Timestamps before and after each recording.
#[derive(Debug)]
pub(super) struct Clock {
    queries: wgpu::QuerySet,
    used: u32,
}

/// Where a recording puts its two timestamps.
pub(super) struct Ticks {
    queries: wgpu::QuerySet,
    first: u32,
}

impl Ticks {
    pub(super) fn writes(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(self.first),
            end_of_pass_write_index: Some(self.first + 1),
        }
    }
}

impl Gpu {
    /// Starts to add up the device time of recordings, from all threads. A running
    /// clock starts anew.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) where the device is lost.
    pub fn start_clock(&self) -> Result<()> {
        let clock = match self.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            true => Some(Clock { queries: self.query_set()?, used: 0 }),
            false => None,
        };
        *self.clock() = clock;
        Ok(())
    }

    /// Stops the clock and returns the seconds that the device spent on recordings since
    /// the start, once they are done; none where the device has no timestamps, or there
    /// were more than 512 recordings.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) where the device is lost.
    #[cfg(not(target_family = "wasm"))]
    pub fn stop_clock(&self) -> Result<Option<f64>> {
        match self.resolved()? {
            Some(ticks) => Ok(Some(self.seconds(&self.read(&ticks)?))),
            None => Ok(None),
        }
    }

    /// Like `stop_clock`, without blocking the thread, which a browser does not allow.
    ///
    /// # Errors
    /// As `stop_clock`.
    pub async fn stop_clock_async(&self) -> Result<Option<f64>> {
        match self.resolved()? {
            Some(ticks) => Ok(Some(self.seconds(&self.read_async(&ticks).await?))),
            None => Ok(None),
        }
    }

    /// The timestamps of the next recording, if a clock runs and has some left.
    pub(super) fn ticks(&self) -> Option<Ticks> {
        let mut clock = self.clock();
        let clock = clock.as_mut()?;
        let first = clock.used;
        // Counts on, so that the clock knows that it missed some.
        clock.used = first.saturating_add(2);
        (clock.used <= TIMESTAMPS).then(|| Ticks { queries: clock.queries.clone(), first })
    }

    fn query_set(&self) -> Result<wgpu::QuerySet> {
        self.checked("timestamps", || {
            self.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("singer.clock"),
                ty: wgpu::QueryType::Timestamp,
                count: TIMESTAMPS,
            })
        })
    }

    fn resolved(&self) -> Result<Option<Slice>> {
        let clock = self.clock().take();
        let Some(Clock { queries, used }) = clock.filter(|clock| clock.used <= TIMESTAMPS) else {
            return Ok(None);
        };
        let size = 8 * u64::from(used.max(2));
        let buffer = self.checked("timestamps", || {
            let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("singer.clock"),
                size,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            if used > 0 {
                let mut encoder = self.device().create_command_encoder(&Default::default());
                encoder.resolve_query_set(&queries, 0..used, &buffer, 0);
                self.queue().submit([encoder.finish()]);
            }
            buffer
        })?;
        Ok(Some(Slice { buffer, offset: 0, size }))
    }

    fn seconds(&self, ticks: &[u64]) -> f64 {
        let pairs = ticks.chunks_exact(2);
        // Browsers blur timestamps, so one may lie before the other.
        let total: u64 = pairs.map(|pair| pair[1].saturating_sub(pair[0])).sum();
        total as f64 * f64::from(self.queue().get_timestamp_period()) * 1e-9
    }
}
