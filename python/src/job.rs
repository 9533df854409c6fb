//! Long work in a thread of its own, while Python's main thread hears of it and of Ctrl-C.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use serde_json::Value;

use crate::error::raised;

/// How often Python looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(100);

/// What unwinds work that no flag stops.
struct Stopped;

/// What the work reports to.
pub(crate) struct Report {
    events: Sender<String>,
    stop: Arc<AtomicBool>,
}

impl Report {
    /// A flag that asks the work to stop.
    pub(crate) fn stop(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Sends an event.
    pub(crate) fn event(&self, event: &Value) {
        // Nobody listens any more where Python has stopped.
        let _ = self.events.send(event.to_string());
    }

    /// Sends an event of work that knows no flag, and ends it where it is to stop.
    pub(crate) fn event_or_end(&self, event: &Value) {
        if self.stop.load(Ordering::Relaxed) {
            resume_unwind(Box::new(Stopped));
        }
        self.event(event);
    }
}

/// Does `work`, without the GIL. `report` is Python's, called with each event as JSON; where it
/// raises, and at Ctrl-C, the work is stopped, saves what it saves, and the exception goes on.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    report: &Bound<'_, PyAny>,
    work: impl FnOnce(&Report) -> singer::Result<T> + Send + 'static,
) -> PyResult<T> {
    let (events, heard) = channel();
    let stop = Arc::<AtomicBool>::default();
    let given = Report { events, stop: stop.clone() };
    let worker = thread::Builder::new().name("singer".into()).spawn(move || work(&given))?;
    let heard = std::sync::Mutex::new(heard);
    let mut raised_first = None;
    loop {
        let next = py.detach(|| {
            let heard = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            heard.recv_timeout(LOOK)
        });
        let outcome = match next {
            Ok(event) if raised_first.is_none() => report.call1((event,)).map(drop),
            Ok(_) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(error) = outcome.and_then(|()| py.check_signals()) {
            stop.store(true, Ordering::Relaxed);
            raised_first.get_or_insert(error);
        }
    }
    let outcome = py.detach(|| worker.join());
    let outcome = match outcome {
        Ok(outcome) => raised(py, outcome),
        Err(payload) if payload.is::<Stopped>() => Err(PyKeyboardInterrupt::new_err("stopped")),
        Err(payload) => resume_unwind(payload),
    };
    match (raised_first, outcome) {
        // It says at which step the run stopped.
        (Some(first), Err(stopped)) if first.is_instance_of::<PyKeyboardInterrupt>(py) => {
            Err(stopped)
        }
        (Some(first), _) => Err(first),
        (None, outcome) => outcome,
    }
}
