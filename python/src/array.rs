//! Numbers that Python reads where they are.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Values of f32, row-major, by NumPy's array interface: `numpy.asarray` makes a view and no copy.
#[pyclass(frozen, module = "singer._singer")]
pub(crate) struct Array {
    /// A boxed slice; Python writes through it, so that Rust keeps no reference.
    values: *mut [f32],
    shape: Vec<usize>,
}

// SAFETY: Rust does not touch the values before they are dropped; what Python's threads do with
// them is guarded as NumPy's own arrays are.
unsafe impl Send for Array {}
// SAFETY: as above.
unsafe impl Sync for Array {}

impl Array {
    pub(crate) fn new(values: Vec<f32>, shape: Vec<usize>) -> Self {
        debug_assert_eq!(values.len(), shape.iter().product::<usize>());
        Self { values: Box::into_raw(values.into_boxed_slice()), shape }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and views of it hold this object alive.
        drop(unsafe { Box::from_raw(self.values) });
    }
}

#[pymethods]
impl Array {
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface
            .set_item("typestr", if cfg!(target_endian = "little") { "<f4" } else { ">f4" })?;
        interface.set_item("shape", PyTuple::new(py, &self.shape)?)?;
        interface.set_item("data", (self.values.cast::<f32>() as usize, false))?;
        Ok(interface)
    }
}
