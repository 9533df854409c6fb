//! Tensors in a file: its bytes, views of tensors in them, and parameters made of views.
//! Nothing is read before it is asked for.

use std::fmt::{self, Debug, Formatter};
use std::ops::{Deref, Range};
use std::sync::Arc;
#[cfg(not(target_family = "wasm"))]
use std::{fs, fs::File, io, path::Path};

#[cfg(not(target_family = "wasm"))]
use burn::tensor::DType;
use burn::tensor::{TensorData, bf16, f16};
#[cfg(not(target_family = "wasm"))]
use memmap2::Mmap;

#[cfg(not(target_family = "wasm"))]
use crate::error::{Error, Result};

/// A file's bytes.
#[derive(Debug)]
pub(super) enum Bytes {
    /// Mapped into memory.
    #[cfg(not(target_family = "wasm"))]
    Mapped(Mmap),
    /// Held in memory.
    Held(Vec<u8>),
}

impl Bytes {
    /// Maps a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] for a pipe or another irregular file.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn map(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, error);
        // Checked before opening, which would wait at a pipe.
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(Error::checkpoint(path, "it is not a regular file"));
        }
        let file = File::open(path).map_err(io)?;
        // SAFETY: the map is only read. Another process that shortens the file
        // meanwhile ends this one; nothing short of a copy prevents that.
        unsafe { Mmap::map(&file) }.map(Self::Mapped).map_err(io)
    }

    /// Gives a mapped file's pages back to the system, so that loading a model does not
    /// leave the whole file in memory beside it.
    pub(super) fn release(&self, at: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            // SAFETY: the map is of a file and only read, so the pages hold nothing
            // that is not in the file; the next access reads them again. It is
            // advice: an error changes nothing.
            let _ = unsafe {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                map.unchecked_advise_range(advice, at.start, at.len())
            };
        }
        #[cfg(not(unix))]
        let _ = at;
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Self::Mapped(map) => map,
            Self::Held(bytes) => bytes,
        }
    }
}

/// The most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// The type of a tensor's elements on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    /// A type that no weight has, by name and size in bytes.
    Other(&'static str, usize),
}

impl Element {
    #[cfg(not(target_family = "wasm"))]
    fn name(self) -> &'static str {
        match self {
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
            Self::Other(name, _) => name,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Other(_, size) => size,
        }
    }
}

#[cfg(not(target_family = "wasm"))]
type Read = Arc<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>;

/// Where a tensor's elements are, row-major.
#[derive(Clone)]
enum Place {
    /// In a file's bytes.
    Within(Arc<Bytes>, Range<usize>),
    /// Read from the file when asked for.
    #[cfg(not(target_family = "wasm"))]
    Deferred(Read),
}

/// A tensor in a file, whose shape was checked against the file when it was made,
/// so that reading takes no more memory than its elements; or a view of one.
#[derive(Clone)]
pub(super) struct Entry {
    place: Place,
    element: Element,
    /// Elements of the whole tensor.
    held: usize,
    shape: Vec<usize>,
    /// In elements; none where the view's elements lie in row-major order.
    strides: Option<Vec<usize>>,
    /// Of the first element, in elements.
    offset: usize,
}

impl Entry {
    /// A tensor whose elements lie row-major in the bytes `at` of a file. The
    /// error is the reason why there is no such tensor.
    pub(super) fn within(
        bytes: &Arc<Bytes>,
        at: Range<usize>,
        element: Element,
        shape: Vec<usize>,
    ) -> Result<Self, String> {
        let within = bytes.get(at.clone()).ok_or("reaches past the file's end")?;
        let held = count(&shape, element)?;
        if within.len() != held * element.size() {
            return Err(format!("of shape {shape:?} has {} bytes", within.len()));
        }
        let place = Place::Within(Arc::clone(bytes), at);
        Ok(Self { place, element, held, shape, strides: None, offset: 0 })
    }

    /// A tensor whose elements `read` gives, row-major.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn deferred(
        read: Read,
        element: Element,
        shape: Vec<usize>,
    ) -> Result<Self, String> {
        let held = count(&shape, element)?;
        Ok(Self { place: Place::Deferred(read), element, held, shape, strides: None, offset: 0 })
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// A range of rows along the first axis; none where there are fewer.
    pub(super) fn rows(&self, rows: Range<usize>) -> Option<Self> {
        let held = *self.shape.first()?;
        if rows.start > rows.end || rows.end > held {
            return None;
        }
        let stride = match &self.strides {
            Some(strides) => strides[0],
            None => self.shape[1..].iter().product(),
        };
        let mut part = self.clone();
        // Of no rows there is no first element.
        if !rows.is_empty() {
            part.offset += rows.start * stride;
        }
        part.shape[0] = rows.len();
        Some(part)
    }

    /// The transpose of a matrix; none for a tensor of another rank.
    pub(super) fn transposed(&self) -> Option<Self> {
        let &[rows, columns] = self.shape.as_slice() else { return None };
        let strides = self.strides.clone().unwrap_or_else(|| row_major(&self.shape));
        let mut turned = self.clone();
        turned.shape = vec![columns, rows];
        turned.strides = (rows > 0 && columns > 0).then(|| vec![strides[1], strides[0]]);
        Some(turned)
    }

    /// The same elements in another shape; none where there are more or fewer, or where they do
    /// not lie in row-major order.
    pub(super) fn reshaped(&self, shape: Vec<usize>) -> Option<Self> {
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let same = count(&shape) == count(&self.shape);
        (same && self.strides.is_none()).then(|| Self { shape, ..self.clone() })
    }

    /// The tensor without its first axis, which has length 1.
    pub(super) fn without_first_axis(&self) -> Self {
        let mut narrow = self.clone();
        narrow.shape.remove(0);
        if let Some(strides) = &mut narrow.strides {
            strides.remove(0);
        }
        narrow
    }

    /// The tensor with leading axes of length 1 added, up to `rank`.
    pub(super) fn with_rank(&self, rank: usize) -> Self {
        let more = rank.saturating_sub(self.shape.len());
        let mut wide = self.clone();
        wide.shape.splice(0..0, std::iter::repeat_n(1, more));
        if let Some(strides) = &mut wide.strides {
            strides.splice(0..0, std::iter::repeat_n(0, more));
        }
        wide
    }

    /// The elements as f32, row-major; f64 is rounded to nearest. The error is
    /// the reason.
    pub(super) fn read(&self) -> Result<TensorData, String> {
        Ok(TensorData::new(self.values()?, self.shape.clone()))
    }

    /// The elements of a whole tensor of f32 or f64 as they are. The error is the reason.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn read_exact(&self) -> Result<TensorData, String> {
        let dtype = match self.element {
            Element::F32 => DType::F32,
            Element::F64 => DType::F64,
            other => return Err(format!("is of type {}, wanted F32 or F64", other.name())),
        };
        let bytes = match &self.place {
            Place::Within(bytes, at) => bytes[at.clone()].to_vec(),
            Place::Deferred(read) => read().map_err(|error| error.to_string())?,
        };
        Ok(TensorData::from_bytes_vec(bytes, self.shape.clone(), dtype))
    }

    pub(super) fn values(&self) -> Result<Vec<f32>, String> {
        match &self.place {
            Place::Within(bytes, at) => {
                let values = self.convert(&bytes[at.clone()]);
                if self.strides.is_none() {
                    let byte = |element: usize| at.start + element * self.element.size();
                    let end = self.offset + self.shape.iter().product::<usize>();
                    bytes.release(byte(self.offset)..byte(end));
                }
                values
            }
            #[cfg(not(target_family = "wasm"))]
            Place::Deferred(read) => self.convert(&read().map_err(|error| error.to_string())?),
        }
    }

    fn convert(&self, bytes: &[u8]) -> Result<Vec<f32>, String> {
        match self.element {
            Element::F32 => self.gather(bytes, f32::from_le_bytes),
            Element::F16 => self.gather(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Element::Bf16 => self.gather(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Element::F64 => self.gather(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            Element::Other(name, _) => {
                Err(format!("is of type {name}, wanted F32, F16, BF16 or F64"))
            }
        }
    }

    fn gather<const SIZE: usize>(
        &self,
        bytes: &[u8],
        value: impl Fn([u8; SIZE]) -> f32,
    ) -> Result<Vec<f32>, String> {
        let (elements, _) = bytes.as_chunks::<SIZE>();
        if elements.len() != self.held {
            return Err(format!("has {} elements, not {}", elements.len(), self.held));
        }
        let count = self.shape.iter().product();
        let Some(strides) = &self.strides else {
            let part = &elements[self.offset..self.offset + count];
            return Ok(part.iter().map(|&bytes| value(bytes)).collect());
        };
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        let mut at = self.offset;
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
        Ok(values)
    }
}

impl Debug for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.element, self.shape)
    }
}

/// The number of a tensor's elements, or why its shape is impossible.
fn count(shape: &[usize], element: Element) -> Result<usize, String> {
    if shape.len() > MAX_RANK {
        return Err(format!("has {} dimensions", shape.len()));
    }
    // Counting empty dimensions as 1 bounds every partial product as well.
    let bound = shape.iter().try_fold(element.size().max(4), |n, &dim| n.checked_mul(dim.max(1)));
    if bound.is_none_or(|bound| isize::try_from(bound).is_err()) {
        return Err(format!("has the impossible shape {shape:?}"));
    }
    Ok(shape.iter().product())
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

/// How a parameter's values are made from a file's tensors; read by [`Source::read`].
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A tensor of the file, or part of one.
    View(Entry),
    /// Several, concatenated along the first axis.
    Stack(Vec<Entry>),
    /// The sum of two with the same number of elements, in the first one's shape.
    Sum(Entry, Entry),
    /// Zeros, which a file omits.
    Zeros(Vec<usize>),
    /// Positions `[1, P, D]` of a square grid with sides `from`, on one with sides `to`.
    Resampled { positions: Entry, from: usize, to: usize, align_corners: bool },
}

impl Source {
    /// Concatenates along the first axis; the error is the reason why that is impossible.
    pub(super) fn stack(mut parts: Vec<Entry>) -> Result<Self, String> {
        if parts.len() == 1 {
            return Ok(Self::View(parts.remove(0)));
        }
        let columns = |part: &Entry| part.shape().get(1..).map(<[usize]>::to_vec);
        let first = parts.first().and_then(columns);
        if first.is_none() || parts.iter().any(|part| columns(part) != first) {
            return Err(format!("parts of shapes {parts:?} do not fit together"));
        }
        Ok(Self::Stack(parts))
    }

    pub(super) fn shape(&self) -> Vec<usize> {
        match self {
            Self::View(entry) | Self::Sum(entry, _) => entry.shape().to_vec(),
            Self::Stack(parts) => {
                let rows = parts.iter().map(|part| part.shape()[0]).sum();
                let columns = parts.first().into_iter().flat_map(|part| &part.shape()[1..]);
                [rows].into_iter().chain(columns.copied()).collect()
            }
            Self::Zeros(shape) => shape.clone(),
            Self::Resampled { positions, to, .. } => vec![1, to * to, positions.shape()[2]],
        }
    }

    /// The values as f32; the error is the reason.
    pub(super) fn read(&self) -> Result<TensorData, String> {
        let values = match self {
            Self::View(entry) => return entry.read(),
            Self::Stack(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(part.values()?);
                }
                all
            }
            Self::Sum(a, b) => {
                a.values()?.into_iter().zip(b.values()?).map(|(a, b)| a + b).collect()
            }
            Self::Zeros(shape) => vec![0.0; shape.iter().product()],
            Self::Resampled { positions, from, to, align_corners } => {
                bilinear(&positions.values()?, *from, *to, *align_corners)
            }
        };
        Ok(TensorData::new(values, self.shape()))
    }
}

/// Resamples a square grid of vectors by the four nearest, without antialiasing, as torch's
/// `interpolate(mode="bilinear")`.
fn bilinear(values: &[f32], from: usize, to: usize, align_corners: bool) -> Vec<f32> {
    let dim = values.len() / (from * from).max(1);
    // Two neighbours along an axis and the share of the second.
    let along = |at: usize| {
        let place = match align_corners {
            true => at as f64 * (from - 1) as f64 / to.saturating_sub(1).max(1) as f64,
            false => ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0),
        };
        let first = (place as usize).min(from - 1);
        (first, (first + 1).min(from - 1), place - first as f64)
    };
    let mut out = Vec::with_capacity(to * to * dim);
    for row in 0..to {
        let (top, bottom, down) = along(row);
        for column in 0..to {
            let (left, right, across) = along(column);
            out.extend((0..dim).map(|channel| {
                let at = |r: usize, c: usize| f64::from(values[(r * from + c) * dim + channel]);
                let mix = |r: usize| at(r, left) * (1.0 - across) + at(r, right) * across;
                (mix(top) * (1.0 - down) + mix(bottom) * down) as f32
            }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::bilinear;

    #[test]
    fn resampling_keeps_a_ramp_and_corners_where_they_are_aligned() {
        let ramp: Vec<f32> = (0..64).map(|at| (at / 8) as f32 + 10.0 * (at % 8) as f32).collect();
        // The mean of the four in the middle of each sixteen.
        assert_eq!(bilinear(&ramp, 8, 2, false), [16.5, 56.5, 20.5, 60.5]);
        assert_eq!(bilinear(&ramp, 8, 2, true), [0.0, 70.0, 7.0, 77.0]);
        assert_eq!(bilinear(&ramp, 8, 8, false), ramp);
        assert!(bilinear(&[], 0, 0, false).is_empty());
    }
}
