use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::ops::Range;

use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, bridge, burn_pack};

use crate::vit::Vit;

/// A model's tensors under timm's names and in PyTorch's layout, each read from
/// its device when asked for.
pub(super) struct ModelTensors(BTreeMap<String, burn_pack::Tensor>);

impl Debug for ModelTensors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ModelTensors {
    pub(super) fn of(vit: &Vit) -> Self {
        let tensors = vit.collect(None, Some(Box::new(BurnToPyTorchAdapter)), false);
        Self(tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A tensor's shape; empty for a tensor that the model lacks.
    pub(super) fn shape(&self, name: &str) -> Vec<usize> {
        self.0.get(name).map(|tensor| tensor.shape.to_vec()).unwrap_or_default()
    }

    /// A tensor's elements, row-major.
    pub(super) fn read(&self, name: &str) -> Result<Vec<f32>, String> {
        let tensor = self.0.get(name).ok_or_else(|| format!("the model has no {name}"))?;
        let data = bridge::to_data(tensor).map_err(|error| error.to_string())?;
        Ok(data.iter::<f32>().collect())
    }

    /// The tensor as it is.
    pub(super) fn copy(&self, name: &str) -> LazyTensor<'_> {
        self.shaped(name, self.shape(name))
    }

    /// The tensor under another shape of as many elements.
    pub(super) fn shaped(&self, name: &str, shape: Vec<usize>) -> LazyTensor<'_> {
        let name = name.to_owned();
        LazyTensor::new(shape, move || self.read(&name))
    }

    /// Rows of the first axis.
    pub(super) fn rows(&self, name: &str, rows: Range<usize>) -> LazyTensor<'_> {
        let mut shape = self.shape(name);
        let width: usize = shape.iter().skip(1).product();
        if let Some(first) = shape.first_mut() {
            *first = rows.len();
        }
        let name = name.to_owned();
        LazyTensor::new(shape, move || {
            let values = self.read(&name)?;
            let within = values.get(rows.start * width..rows.end * width);
            within.map(<[f32]>::to_vec).ok_or_else(|| format!("{name} has too few rows"))
        })
    }

    /// `[out, in]` as `[in, out]`.
    pub(super) fn transposed(&self, name: &str) -> LazyTensor<'_> {
        let mut shape = self.shape(name);
        shape.reverse();
        let name = name.to_owned();
        let (rows, columns) = (shape[0], shape[1]);
        LazyTensor::new(shape, move || {
            let values = self.read(&name)?;
            let mut turned = Vec::with_capacity(values.len());
            for row in 0..rows {
                turned.extend((0..columns).map(|column| values[column * rows + row]));
            }
            Ok(turned)
        })
    }
}

type Make<'a> = Box<dyn Fn() -> Result<Vec<f32>, String> + 'a>;

/// One tensor of an export: its shape, and its elements when they are wanted.
pub(super) struct LazyTensor<'a> {
    pub(super) shape: Vec<usize>,
    make: Make<'a>,
}

impl<'a> LazyTensor<'a> {
    /// The error of `make` is a reason without the tensor's name.
    pub(super) fn new(shape: Vec<usize>, make: impl Fn() -> Result<Vec<f32>, String> + 'a) -> Self {
        Self { shape, make: Box::new(make) }
    }

    pub(super) fn zeros(shape: Vec<usize>) -> Self {
        let count = shape.iter().product();
        Self::new(shape, move || Ok(vec![0.0; count]))
    }

    /// Tensors one below the other; they agree in all axes but the first.
    pub(super) fn stacked(parts: Vec<Self>) -> Self {
        let mut shape = parts.first().map(|part| part.shape.clone()).unwrap_or_default();
        if let Some(first) = shape.first_mut() {
            *first = parts.iter().map(|part| part.shape[0]).sum();
        }
        Self::new(shape, move || {
            let parts = parts.iter().map(Self::values).collect::<Result<Vec<_>, _>>()?;
            Ok(parts.concat())
        })
    }

    /// Element by element.
    pub(super) fn plus(self, other: Self) -> Self {
        Self::new(self.shape.clone(), move || {
            Ok(self.values()?.iter().zip(other.values()?).map(|(a, b)| a + b).collect())
        })
    }

    /// The same elements under another shape.
    pub(super) fn reshaped(self, shape: Vec<usize>) -> Self {
        Self { shape, make: self.make }
    }

    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn values(&self) -> Result<Vec<f32>, String> {
        (self.make)()
    }
}

impl Debug for LazyTensor<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "LazyTensor {:?}", self.shape)
    }
}
