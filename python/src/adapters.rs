//! A teacher's refinement.

use std::path::PathBuf;

use pyo3::prelude::*;
use singer::Device;

use crate::error::raised;

/// Adapters of a teacher by block.
#[pyclass(frozen, module = "singer._singer")]
pub(crate) struct Adapters {
    pub(crate) inner: singer::Adapters,
}

#[pymethods]
impl Adapters {
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let inner = raised(py, singer::Adapters::open(path, Device::cpu().burn()))?;
        Ok(Self { inner })
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        raised(py, self.inner.save(path))
    }

    #[getter]
    fn layers(&self) -> Vec<usize> {
        self.inner.layers()
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }
}
