//! The library's errors as the exceptions of `singer.errors`.

use pyo3::prelude::*;
use singer::Error;

/// The class of an error.
fn class(error: &Error) -> &'static str {
    match error {
        Error::Io { .. }
        | Error::Unwritable { .. }
        | Error::DiskFull { .. }
        | Error::Exists { .. }
        | Error::Data { .. }
        | Error::Unreadable { .. }
        | Error::ImageSize { .. }
        | Error::Resize { .. }
        | Error::NoImages
        | Error::NoLabels
        | Error::NoClasses { .. }
        | Error::DataClasses { .. }
        | Error::OnePass { .. }
        | Error::RunExists { .. } => "DataError",
        Error::UnknownArch { .. }
        | Error::Export { .. }
        | Error::Checkpoint { .. }
        | Error::Element { .. }
        | Error::Naming { .. }
        | Error::SeveralModels { .. }
        | Error::WeightsKey { .. }
        | Error::Mismatch { .. }
        | Error::Tokens { .. }
        | Error::NoHead
        | Error::Classes { .. }
        | Error::Adapters(_)
        | Error::ImageSizes { .. }
        | Error::Hub { .. } => "ModelError",
        Error::Config(_)
        | Error::Setting { .. }
        | Error::ModelSetting { .. }
        | Error::Layer { .. }
        | Error::RepeatedLayer { .. }
        | Error::TooManyLayers { .. }
        | Error::NoIntermediateLayer
        | Error::NoSuchLayer { .. }
        | Error::Missing(_)
        | Error::OtherRun { .. }
        | Error::NothingToDo { .. }
        | Error::UnknownLength
        | Error::UnknownClasses => "SettingError",
        Error::NotFinite { .. } | Error::NotFiniteWeights { .. } => "NotFiniteError",
        Error::Device { .. } | Error::Gpu { .. } | Error::GpuLimit { .. } => "DeviceError",
        _ => "SingerError",
    }
}

/// An exception of a class of `singer.errors`.
pub(crate) fn exception(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made = py
        .import("singer.errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((message,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// A setting that cannot work.
pub(crate) fn setting(py: Python<'_>, message: impl ToString) -> PyErr {
    exception(py, "SettingError", message.to_string())
}

/// A library call's outcome for Python; an interrupted run is a `KeyboardInterrupt`.
pub(crate) fn raised<T>(py: Python<'_>, outcome: singer::Result<T>) -> PyResult<T> {
    outcome.map_err(|error| match error {
        Error::Interrupted { .. } => {
            pyo3::exceptions::PyKeyboardInterrupt::new_err(error.to_string())
        }
        error => exception(py, class(&error), error.to_string()),
    })
}
