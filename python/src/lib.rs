//! The compiled half of the Python package `singer`: models, whole runs and the program.
//!
//! The other half, `python/singer`, gives them their signatures, docstrings and defaults; settings and
//! reports pass between the two as JSON.

mod adapters;
mod array;
mod error;
mod images;
mod inspect;
mod job;
mod maps;
mod model;
mod runs;

use std::ffi::OsString;
use std::process::ExitCode;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The program `singer` with these arguments, the first being its name; gives its exit code.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    let code = py.detach(|| singer::cli::main_with(arguments));
    (0..=u8::MAX).find(|&number| ExitCode::from(number) == code).unwrap_or(1)
}

#[pymodule]
fn _singer(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<adapters::Adapters>()?;
    module.add_class::<array::Array>()?;
    module.add_class::<images::Pictures>()?;
    module.add_class::<model::Model>()?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(images::read_images, module)?)?;
    module.add_function(wrap_pyfunction!(model::coloured, module)?)?;
    module.add_function(wrap_pyfunction!(maps::painted, module)?)?;
    module.add_function(wrap_pyfunction!(maps::pca, module)?)?;
    module.add_function(wrap_pyfunction!(maps::segments, module)?)?;
    module.add_function(wrap_pyfunction!(maps::attention, module)?)?;
    module.add_function(wrap_pyfunction!(runs::closed_form, module)?)?;
    module.add_function(wrap_pyfunction!(runs::fit, module)?)?;
    module.add_function(wrap_pyfunction!(runs::distill, module)?)?;
    module.add_function(wrap_pyfunction!(inspect::inspect, module)?)
}
