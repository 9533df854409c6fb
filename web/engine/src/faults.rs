use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use js_sys::Function;
use wasm_bindgen::JsValue;

use crate::error::{Fault, Result};

thread_local! {
    /// Who wants to know when the device is lost.
    static LISTENER: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// What the GPU reports on its own, outside any call.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    inner: Arc<Mutex<Reported>>,
}

#[derive(Debug, Default)]
struct Reported {
    lost: Option<String>,
    error: Option<String>,
}

impl Faults {
    /// Listens to a device. Without this an error that nobody waits for, such as
    /// running out of memory, would end the whole module.
    pub fn watch(device: &wgpu::Device, listener: Option<Function>) -> Self {
        LISTENER.set(listener);
        let faults = Self::default();
        let inner = Arc::clone(&faults.inner);
        device.set_device_lost_callback(move |_, message| {
            let reason = if message.is_empty() { "the driver gave no reason" } else { &message };
            let lost = format!("the GPU device was lost ({reason})");
            inner.lock().unwrap_or_else(PoisonError::into_inner).lost.get_or_insert(lost.clone());
            LISTENER.with_borrow(|listener| {
                // What the listener throws is its own affair.
                listener.as_ref().map(|tell| tell.call1(&JsValue::NULL, &lost.into()))
            });
        });
        let inner = Arc::clone(&faults.inner);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let mut reported = inner.lock().unwrap_or_else(PoisonError::into_inner);
            reported.error.get_or_insert(match error {
                wgpu::Error::OutOfMemory { .. } => "it is out of memory".into(),
                other => other.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
            });
        }));
        faults
    }

    /// Why the device is gone, if it is.
    pub fn lost(&self) -> Option<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).lost.clone()
    }

    /// What was reported since the last time, as an error.
    pub fn check(&self) -> Result<()> {
        let mut reported = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lost) = &reported.lost {
            return Err(Fault::new(format!("{lost}; start again")));
        }
        match reported.error.take() {
            Some(reason) => Err(Fault::new(format!(
                "the GPU failed: {reason}; use a smaller model or image, or start again"
            ))),
            None => Ok(()),
        }
    }
}
