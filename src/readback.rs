//! Tensors' values on the host.

use std::pin::Pin;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

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

/// The parameters of a module by burn's path (`blocks.0.attn.qkv.weight`), in the
/// module's order, in their own precision.
///
/// # Errors
/// As [`read`].
#[cfg(not(target_family = "wasm"))]
pub fn named_parameters<M: Module>(module: &M) -> Result<Vec<(String, TensorData)>> {
    pollster::block_on(named_parameters_async(module))
}

/// As [`named_parameters`], without blocking the thread, which a browser does not allow.
///
/// # Errors
/// As [`read`].
pub async fn named_parameters_async<M: Module>(module: &M) -> Result<Vec<(String, TensorData)>> {
    let mut named = Named { path: Vec::new(), found: Vec::new() };
    module.visit(&mut named);
    let mut read = Vec::with_capacity(named.found.len());
    for (name, data) in named.found {
        read.push((name, data.await?));
    }
    Ok(read)
}

type Reading = Pin<Box<dyn Future<Output = Result<TensorData>>>>;

struct Named {
    path: Vec<String>,
    found: Vec<(String, Reading)>,
}

impl ModuleVisitor for Named {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let data = async move { tensor.into_data_async().await.map_err(failed) };
        self.found.push((self.path.join("."), Box::pin(data)));
    }
}

pub(crate) fn failed(error: impl std::fmt::Display) -> Error {
    Error::gpu("computing", &error.to_string())
}
