//! Tensors' values on the host.

use burn::tensor::Tensor;

use crate::error::{Error, Result};

/// A tensor's values on the host, row-major, once the device has computed them.
///
/// # Errors
/// [`Error::Gpu`] where the device ran out of memory, may not hold a tensor that
/// large, or is lost. burn reports this of any earlier operation only here.
#[cfg(not(target_family = "wasm"))]
pub fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor.try_into_data();
    data.map(|data| data.iter::<f32>().collect()).map_err(failed)
}

/// As [`read`], without blocking the thread, which a browser does not allow.
///
/// # Errors
/// As [`read`].
pub async fn read_async<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor.into_data_async().await;
    data.map(|data| data.iter::<f32>().collect()).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::gpu("computing", &error.to_string())
}
