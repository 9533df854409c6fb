//! What a training step asks of a GPU: kernel launches, uploads, submissions and waits.
//!
//! Launches are counted where burn issues them; what is fused counts once. The rest is read
//! from wgpu's log, which is the same for every graphics API.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cubecl::config::{TypeNameFormatLevel, type_name_format};
use cubecl_runtime::logging::{LaunchObservation, LaunchObserver};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Counts what `issue` asks of a device, and gives it as JSON. `wait` waits until the device
/// has done it; what it takes on an idle device is not counted.
pub(super) fn trace(issue: impl FnOnce(), wait: impl Fn() -> Result<()>) -> Result<Value> {
    log::set_logger(&WGPU)
        .map_err(|_| Error::config("another logger is in use, so wgpu's log cannot be read"))?;
    wait()?;
    let idle = WGPU.count(&wait)?;
    let launches = Arc::new(Launches::default());
    let observation = LaunchObservation::new(launches.clone());
    let counted = WGPU.count(|| {
        issue();
        wait()
    });
    drop(observation);
    let counted = counted?;
    let [uploads, submissions, waits] =
        std::array::from_fn(|event| counted[event].saturating_sub(idle[event]));

    let mut kernels: Vec<(String, usize)> = launches.by_kernel().into_iter().collect();
    kernels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let row = |(kernel, launches)| json!({ "kernel": kernel, "launches": launches });
    Ok(json!({
        "launches": kernels.iter().map(|(_, count)| count).sum::<usize>(),
        "uploads": uploads,
        "submissions": submissions,
        "waits": waits,
        "kernels": kernels.into_iter().map(row).collect::<Vec<Value>>(),
    }))
}

/// By the kernel's full name.
#[derive(Default)]
struct Launches(Mutex<BTreeMap<&'static str, usize>>);

impl Launches {
    /// By the kernel's type and its first argument: the others are sizes and number types.
    fn by_kernel(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for (name, count) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let name = type_name_format(name, TypeNameFormatLevel::Balanced);
            let parts: Vec<&str> =
                name.split(" | ").filter(|part| !part.is_empty()).take(2).collect();
            *found.entry(parts.join(" ")).or_default() += count;
        }
        found
    }
}

impl LaunchObserver for Launches {
    fn launched(&self, kernel: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kernel).or_default() += 1;
    }
}

/// How wgpu's log lines for an upload, a submission and a wait begin.
const EVENTS: [&str; 3] =
    ["Queue::write_buffer", "Queue::submit returned", "Device::maintain: waiting"];

/// Counts each of [`EVENTS`].
struct WgpuLog([AtomicUsize; EVENTS.len()]);

static WGPU: WgpuLog = WgpuLog([const { AtomicUsize::new(0) }; EVENTS.len()]);

impl WgpuLog {
    /// The events while `work` runs.
    fn count(&self, work: impl FnOnce() -> Result<()>) -> Result<[usize; EVENTS.len()]> {
        self.0.iter().for_each(|count| count.store(0, Ordering::SeqCst));
        log::set_max_level(log::LevelFilter::Trace);
        let outcome = work();
        log::set_max_level(log::LevelFilter::Off);
        outcome.map(|()| std::array::from_fn(|event| self.0[event].load(Ordering::SeqCst)))
    }
}

impl log::Log for WgpuLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("wgpu_core::device")
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = record.args().to_string();
        if let Some(event) = EVENTS.iter().position(|start| line.starts_with(start)) {
            self.0[event].fetch_add(1, Ordering::SeqCst);
        }
    }

    fn flush(&self) {}
}
