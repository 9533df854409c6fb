//! What an open device computes with.

use std::fmt;

use burn::tensor::{DType, Device as BurnDevice};
use cubecl::ir::features::{MmaConfig, TypeUsage};
use cubecl::ir::{ElemType, FloatKind};
use serde::Serialize;

use crate::error::Result;
use crate::interop;
use crate::ops::Precision;

/// The language that burn's kernels for a GPU are compiled to. Our own shaders are WGSL on
/// every GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compiler {
    /// SPIR-V, for Vulkan drivers with 64-bit addresses and the Vulkan memory model.
    SpirV,
    /// Metal's shading language, from Metal 3.2.
    Msl,
    /// WGSL, for everything else.
    Wgsl,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpirV => "SPIR-V",
            Self::Msl => "MSL",
            Self::Wgsl => "WGSL",
        })
    }
}

/// A product that a matrix unit (tensor core, simdgroup matrix) makes in one instruction:
/// `[m, k]` by `[k, n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MatrixUnit {
    /// Of both factors.
    pub factors: Precision,
    /// Of the sums.
    pub sums: Precision,
    /// Rows.
    pub m: u32,
    /// Columns.
    pub n: u32,
    /// Length of the sums.
    pub k: u32,
}

impl fmt::Display for MatrixUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { factors, sums, m, n, k } = self;
        write!(f, "{m}x{n}x{k} {factors}->{sums}")
    }
}

/// What an open device computes with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// What burn's kernels are compiled to; none on the CPU.
    pub compiler: Option<Compiler>,
    /// The precisions that products can be computed in, f32 first.
    pub precisions: Vec<Precision>,
    /// The products of its matrix units; empty where it has none that burn can use.
    pub matrix_units: Vec<MatrixUnit>,
    /// Its memory in bytes, where the driver says.
    pub memory: Option<u64>,
    /// Whether a card computes, rather than a CPU or a software rasteriser.
    pub card: bool,
}

impl Capabilities {
    /// The CPU's. It computes products of halves, though none faster than of f32.
    pub(super) fn cpu() -> Self {
        Self {
            compiler: None,
            precisions: vec![Precision::F32, Precision::F16, Precision::Bf16],
            matrix_units: Vec::new(),
            memory: None,
            card: false,
        }
    }

    /// Those of a GPU that burn has started.
    pub(super) fn of(device: &BurnDevice) -> Result<Self> {
        let client = interop::client(device)?;
        let properties = client.properties();
        let compiler = match client.name() {
            "wgpu<spirv>" => Compiler::SpirV,
            "wgpu<msl>" => Compiler::Msl,
            _ => Compiler::Wgsl,
        };
        let unit = |shape: &MmaConfig| {
            let factors = precision(shape.a_type).filter(|_| shape.a_type == shape.b_type)?;
            let sums = precision(shape.cd_type)?;
            Some(MatrixUnit { factors, sums, m: shape.m, n: shape.n, k: shape.k })
        };
        let matrix_units: Vec<_> =
            properties.features.matmul.cmma.iter().filter_map(unit).collect();
        let computes = |precision: Precision| {
            let Some(half) = precision.half() else { return true };
            // bfloat16 may be a type that Vulkan stores and multiplies by matrices, and no more.
            let stored = match precision {
                Precision::Bf16 => properties
                    .type_usage(ElemType::Float(FloatKind::BF16))
                    .is_superset(TypeUsage::Buffer | TypeUsage::Conversion),
                _ => false,
            };
            device.supports_dtype(DType::from(half))
                || (stored && sums_in_f32(&matrix_units, precision))
        };
        let all = [Precision::F32, Precision::F16, Precision::Bf16];
        Ok(Self {
            compiler: Some(compiler),
            precisions: all.into_iter().filter(|&precision| computes(precision)).collect(),
            memory: properties.memory.max_memory(),
            card: properties.identity.physical.is_some(),
            matrix_units,
        })
    }

    /// The precision in which its products are fastest and still summed in f32: f16 or else
    /// bfloat16 where its matrix units take them, f32 elsewhere, so always on the CPU and on
    /// software rasterisers.
    pub fn fastest(&self) -> Precision {
        let halves = [Precision::F16, Precision::Bf16].into_iter();
        let mut fast = halves.filter(|&half| {
            self.card && self.precisions.contains(&half) && sums_in_f32(&self.matrix_units, half)
        });
        fast.next().unwrap_or_default()
    }
}

fn sums_in_f32(units: &[MatrixUnit], factors: Precision) -> bool {
    units.iter().any(|unit| unit.factors == factors && unit.sums == Precision::F32)
}

fn precision(element: ElemType) -> Option<Precision> {
    match element {
        ElemType::Float(FloatKind::F32) => Some(Precision::F32),
        ElemType::Float(FloatKind::F16) => Some(Precision::F16),
        ElemType::Float(FloatKind::BF16) => Some(Precision::Bf16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(units: &[(Precision, Precision)]) -> Capabilities {
        let unit = |&(factors, sums)| MatrixUnit { factors, sums, m: 16, n: 16, k: 16 };
        Capabilities {
            compiler: Some(Compiler::SpirV),
            matrix_units: units.iter().map(unit).collect(),
            card: true,
            ..Capabilities::cpu()
        }
    }

    #[test]
    fn the_fastest_precision_is_a_half_that_matrix_units_sum_in_f32_and_f32_elsewhere() {
        use Precision::{Bf16, F16, F32};
        assert_eq!(card(&[(F16, F16), (F16, F32)]).fastest(), F16);
        assert_eq!(card(&[(Bf16, F32), (F16, F32)]).fastest(), F16);
        assert_eq!(card(&[(F16, F16), (Bf16, F32)]).fastest(), Bf16);
        assert_eq!(card(&[(F16, F16), (Bf16, Bf16), (F32, F32)]).fastest(), F32);
        assert_eq!(card(&[]).fastest(), F32);
        assert_eq!(Capabilities { card: false, ..card(&[(F16, F32)]) }.fastest(), F32);
        let no_f16 = Capabilities { precisions: vec![F32], ..card(&[(F16, F32)]) };
        assert_eq!(no_f16.fastest(), F32);
        assert_eq!(Capabilities::cpu().fastest(), F32);
    }
}
