use singer::Error;
use wasm_bindgen::{JsError, JsValue};

/// What JavaScript catches: an `Error` of one line.
#[derive(Debug)]
pub struct Fault(String);

pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<Error> for Fault {
    /// The library's words, but where they name the program's flags.
    fn from(error: Error) -> Self {
        Self(match error {
            Error::GpuLimit { what, needed, limit, .. } => format!(
                "{what}: needs {needed}, but the device allows {limit}; use a smaller model or image"
            ),
            Error::Gpu { doing, reason } => format!(
                "the GPU failed at {doing}: {reason}; use a smaller model or image, or start again"
            ),
            Error::Device { reason, .. } => format!("no WebGPU: {reason}"),
            Error::NotFinite { step, term, value, .. } => format!(
                "step {step}: the {term} is {value}; fitting stopped: lower the learning rate"
            ),
            other => other.to_string(),
        })
    }
}

impl From<Fault> for JsValue {
    fn from(fault: Fault) -> Self {
        JsError::new(&fault.0).into()
    }
}
