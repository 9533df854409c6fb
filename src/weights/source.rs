use burn::tensor::TensorData;

use super::entry::Entry;

/// Where a parameter's values come from. Nothing is read before [`Source::read`].
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A tensor of the file, or part of one.
    View(Entry),
    /// Several, one after the other along the first axis.
    Stack(Vec<Entry>),
    /// The sum of two with as many elements, in the first one's shape.
    Sum(Entry, Entry),
    /// What a file leaves out because it is zero.
    Zeros(Vec<usize>),
}

impl Source {
    /// The rows of all parts in order; the error is the reason why they cannot
    /// make one tensor.
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
        };
        Ok(TensorData::new(values, self.shape()))
    }
}
