use burn::tensor::{bf16, f16};

/// The type of an export's weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightDtype {
    /// The weights' own bits.
    #[default]
    F32,
    /// IEEE half precision: largest value 65504.
    F16,
    /// bfloat16: f32's range with 8 bits of precision.
    Bf16,
}

impl WeightDtype {
    /// `f32`, `f16` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The type's name in PyTorch.
    pub(super) fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Rounds to nearest, ties to even, and counts what the type cannot hold.
    pub(super) fn encode(self, name: &str, values: &[f32], rounding: &mut Rounding) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16 => rounded(name, values, rounding, |value| {
                let half = f16::from_f32(value);
                (half.to_le_bytes(), half.to_f32())
            }),
            Self::Bf16 => rounded(name, values, rounding, |value| {
                let half = bf16::from_f32(value);
                (half.to_le_bytes(), half.to_f32())
            }),
        }
    }
}

fn rounded(
    name: &str,
    values: &[f32],
    rounding: &mut Rounding,
    round: impl Fn(f32) -> ([u8; 2], f32),
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * values.len());
    for &value in values {
        let (encoded, kept) = round(value);
        bytes.extend(encoded);
        if kept.is_infinite() && value.is_finite() {
            rounding.infinite += 1;
            if value.abs() > rounding.largest.abs() {
                rounding.largest = value;
                rounding.of = name.to_owned();
            }
        } else if kept == 0.0 && value != 0.0 {
            rounding.vanished += 1;
        }
    }
    bytes
}

/// What a narrower type could not hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rounding {
    /// Finite values that became infinite.
    pub(super) infinite: usize,
    /// The largest of them by magnitude.
    pub(super) largest: f32,
    /// The tensor that holds it.
    pub(super) of: String,
    /// Values too small for the type, which became zero.
    pub(super) vanished: usize,
}
