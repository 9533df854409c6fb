use std::fmt::{self, Debug, Formatter};
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{TensorData, bf16, f16};
use memmap2::Mmap;

/// More dimensions than any weight has.
const MAX_RANK: usize = 8;

/// The type of a tensor's elements on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    /// One that no weight has, by name and size in bytes.
    Other(&'static str, usize),
}

impl Element {
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Other(_, size) => size,
        }
    }
}

/// Where a tensor's elements lie in memory that holds more than them.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) shape: Vec<usize>,
    /// In elements; row-major where none are given.
    pub(super) strides: Option<Vec<usize>>,
    /// Of the first element, in elements.
    pub(super) offset: usize,
}

/// A tensor in a mapped file. What it says was checked against the file when it
/// was made, so reading cannot fail and takes no more memory than its elements.
#[derive(Clone)]
pub(super) struct Entry {
    map: Arc<Mmap>,
    element: Element,
    shape: Vec<usize>,
    /// None where the elements lie in row-major order.
    strides: Option<Vec<usize>>,
    /// From the first element to the end of the storage.
    bytes: Range<usize>,
}

impl Entry {
    /// A tensor laid out in the bytes `storage` of a file. The error is the
    /// reason why there is no such tensor.
    pub(super) fn new(
        map: &Arc<Mmap>,
        storage: Range<usize>,
        element: Element,
        layout: Layout,
    ) -> Result<Self, String> {
        let Layout { shape, strides, offset } = layout;
        if let Element::Other(name, _) = element {
            return Err(format!("is of type {name}, wanted F32, F16, BF16 or F64"));
        }
        let within = map.get(storage.clone()).ok_or("reaches past the file's end")?;
        if shape.len() > MAX_RANK {
            return Err(format!("has {} dimensions", shape.len()));
        }
        let too_large = || format!("has the impossible shape {shape:?}");
        // Counting empty dimensions as 1 bounds every partial product as well.
        let bound = shape.iter().try_fold(element.size().max(4), |n, &d| n.checked_mul(d.max(1)));
        bound.filter(|&n| isize::try_from(n).is_ok()).ok_or_else(too_large)?;
        let count: usize = shape.iter().product();
        let rows = row_major(&shape);
        let strides = strides.unwrap_or_else(|| rows.clone());
        if strides.len() != shape.len() {
            return Err(format!("has {} strides for {} dimensions", strides.len(), shape.len()));
        }
        let held = within.len() / element.size();
        let last = shape.iter().zip(&strides).try_fold(offset, |at, (&dim, &stride)| {
            at.checked_add(stride.checked_mul(dim.saturating_sub(1))?)
        });
        // Elements that repeat others would make the tensor larger than its file.
        let fits = count == 0 || count <= held && last.is_some_and(|last| last < held);
        if !fits || offset > held {
            return Err(format!("of shape {shape:?} reaches past its {held} elements"));
        }
        let contiguous =
            shape.iter().zip(strides.iter().zip(&rows)).all(|(&dim, (a, b))| dim <= 1 || a == b);
        let bytes = storage.start + offset * element.size()..storage.end;
        let strides = (!contiguous && count > 0).then_some(strides);
        Ok(Self { map: Arc::clone(map), element, shape, strides, bytes })
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The part `range` along the first dimension, where the tensor lies in
    /// row-major order and is as long.
    pub(super) fn rows(&self, range: Range<usize>) -> Option<Self> {
        let (&count, rest) = self.shape.split_first()?;
        if self.strides.is_some() || range.start > range.end || range.end > count {
            return None;
        }
        let row = rest.iter().product::<usize>() * self.element.size();
        let mut shape = self.shape.clone();
        shape[0] = range.len();
        let bytes = self.bytes.start + range.start * row..self.bytes.end;
        Some(Self {
            map: Arc::clone(&self.map),
            element: self.element,
            shape,
            strides: None,
            bytes,
        })
    }

    /// The elements as f32, row-major; f64 is rounded to nearest.
    pub(super) fn read(&self) -> TensorData {
        let values = match self.element {
            Element::F32 => self.gather(f32::from_le_bytes),
            Element::F16 => self.gather(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Element::Bf16 => self.gather(|bytes| bf16::from_le_bytes(bytes).to_f32()),
            Element::F64 => self.gather(|bytes| f64::from_le_bytes(bytes) as f32),
            Element::Other(..) => unreachable!("`new` refuses it"),
        };
        TensorData::new(values, self.shape.clone())
    }

    fn gather<const SIZE: usize>(&self, value: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
        let (elements, _) = self.map[self.bytes.clone()].as_chunks::<SIZE>();
        let count = self.shape.iter().product();
        match &self.strides {
            None => elements[..count].iter().map(|&bytes| value(bytes)).collect(),
            Some(strides) => {
                let mut values = Vec::with_capacity(count);
                let mut index = vec![0; self.shape.len()];
                let mut at = 0;
                while values.len() < count {
                    values.push(value(elements[at]));
                    for axis in (0..index.len()).rev() {
                        index[axis] += 1;
                        at += strides[axis];
                        if index[axis] < self.shape[axis] {
                            break;
                        }
                        at -= strides[axis] * index[axis];
                        index[axis] = 0;
                    }
                }
                values
            }
        }
    }
}

impl Debug for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.element, self.shape)
    }
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}
