use std::fmt::{self, Debug, Formatter};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{TensorData, bf16, f16};
use memmap2::Mmap;

/// More dimensions than any weight has.
const MAX_RANK: usize = 8;

/// The type of a tensor's elements on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    /// One that no weight has, by name and size in bytes.
    Other(String, usize),
}

impl Element {
    fn size(&self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Other(_, size) => *size,
        }
    }
}

type Read = Arc<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>;

#[derive(Clone)]
enum Source {
    /// Row-major elements in a mapped file.
    Mapped(Arc<Mmap>, Range<usize>),
    /// Read from the file when asked for.
    Deferred(Read),
}

/// A tensor in a file, whose shape was checked against the file when it was made,
/// so that reading takes no more memory than its elements.
#[derive(Clone)]
pub(super) struct Entry {
    source: Source,
    element: Element,
    shape: Vec<usize>,
}

impl Entry {
    /// A tensor whose elements lie row-major in the bytes `at` of a file. The
    /// error is the reason why there is no such tensor.
    pub(super) fn mapped(
        map: &Arc<Mmap>,
        at: Range<usize>,
        element: Element,
        shape: Vec<usize>,
    ) -> Result<Self, String> {
        let within = map.get(at.clone()).ok_or("reaches past the file's end")?;
        let bytes = bytes_of(&shape, &element)?;
        if within.len() != bytes {
            return Err(format!("of shape {shape:?} has {} bytes", within.len()));
        }
        Ok(Self { source: Source::Mapped(Arc::clone(map), at), element, shape })
    }

    /// A tensor whose elements `read` gives, row-major.
    pub(super) fn deferred(
        read: Read,
        element: Element,
        shape: Vec<usize>,
    ) -> Result<Self, String> {
        bytes_of(&shape, &element)?;
        Ok(Self { source: Source::Deferred(read), element, shape })
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements as f32, row-major; f64 is rounded to nearest. The error is
    /// the reason.
    pub(super) fn read(&self) -> Result<TensorData, String> {
        let deferred;
        let bytes = match &self.source {
            Source::Mapped(map, at) => &map[at.clone()],
            Source::Deferred(read) => {
                deferred = read().map_err(|error| error.to_string())?;
                deferred.as_slice()
            }
        };
        let values = match &self.element {
            Element::F32 => convert(bytes, f32::from_le_bytes),
            Element::F16 => convert(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Element::Bf16 => convert(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Element::F64 => convert(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            Element::Other(name, _) => {
                return Err(format!("is of type {name}, wanted F32, F16, BF16 or F64"));
            }
        };
        if let Source::Mapped(map, at) = &self.source {
            release(map, at);
        }
        if values.len() != self.shape.iter().product::<usize>() {
            return Err(format!("of shape {:?} has {} elements", self.shape, values.len()));
        }
        Ok(TensorData::new(values, self.shape.clone()))
    }
}

/// Lets the system take the pages back, so that loading a model does not end with
/// the whole file in memory beside it.
#[cfg(unix)]
fn release(map: &Mmap, at: &Range<usize>) {
    // SAFETY: the map is of a file and only read, so the pages hold nothing that
    // is not in the file; the next access reads them again. It is advice: an error
    // changes nothing.
    let _ = unsafe {
        map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, at.start, at.len())
    };
}

#[cfg(not(unix))]
fn release(_: &Mmap, _: &Range<usize>) {}

impl Debug for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.element, self.shape)
    }
}

fn convert<const SIZE: usize>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<SIZE>().0.iter().map(|&bytes| value(bytes)).collect()
}

/// The size of a tensor, also as f32, or why there can be none of its shape.
fn bytes_of(shape: &[usize], element: &Element) -> Result<usize, String> {
    if shape.len() > MAX_RANK {
        return Err(format!("has {} dimensions", shape.len()));
    }
    // Counting empty dimensions as 1 bounds every partial product as well.
    let bound = shape.iter().try_fold(element.size().max(4), |n, &dim| n.checked_mul(dim.max(1)));
    if bound.is_none_or(|bound| isize::try_from(bound).is_err()) {
        return Err(format!("has the impossible shape {shape:?}"));
    }
    Ok(shape.iter().product::<usize>() * element.size())
}
