use super::shader::{Shader, params, shader};
use super::{Recording, Slice};
use crate::error::Result;

/// The variant with these flags.
macro_rules! variant {
    ($($flag:ident),*) => {
        shader!("linear", "linear", [$($flag),*], [ROWS, COLUMNS, GELU, GELU_TANH, QUICK_GELU])
    };
}
pub(super) static PLAIN: Shader<Params> = variant!();
pub(super) static PLAIN_HALF: Shader<Params> = variant!(half);
pub(super) static RESIDUAL: Shader<Params> = variant!(residual);
pub(super) static RESIDUAL_HALF: Shader<Params> = variant!(half, residual);
/// Rows and columns per workgroup.
const ROWS: usize = 32;
const COLUMNS: usize = 64;
/// Values of `activation`; 0 is none.
const GELU: u32 = 1;
const GELU_TANH: u32 = 2;
const QUICK_GELU: u32 = 3;

params! {
    /// Mirrors `Params` of shaders/linear.wgsl.
    pub(super) struct Params {
        rows: u32,
        inner: u32,
        columns: u32,
        activation: u32,
        residual_rows: u32,
    }
}

/// Activation after a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// None: the identity.
    None,
    /// Exact GELU.
    Gelu,
    /// GELU by its tanh form.
    GeluTanh,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
}

/// Residual connection: what a linear layer's output is added to.
#[derive(Debug, Clone, Copy)]
pub struct Residual<'a> {
    /// `[S, N]`.
    pub slice: &'a Slice,
    /// S; row r of the output is added to row r mod S.
    pub rows: usize,
    /// LayerScale's gain on the output, `[N]`.
    pub gain: &'a Slice,
}

/// A linear layer `x W + b`: `shaders/linear.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    /// W `[K, N]`, f32, or f16 if [`half`](Self::half).
    pub weight: &'a Slice,
    /// b `[N]`.
    pub bias: &'a Slice,
    /// K, a multiple of 4.
    pub inner: usize,
    /// N, a multiple of 4.
    pub columns: usize,
    /// Whether W is stored as f16; products and sums are f32 in either case.
    pub half: bool,
}

impl Linear<'_> {
    /// `f(x W + b)`: `[R, K] -> [R, N]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where K or N is no multiple of 4 or a
    /// slice too short, [`GpuLimit`](crate::Error::GpuLimit) where one exceeds a
    /// binding.
    pub fn record(
        &self,
        recording: &mut Recording,
        x: &Slice,
        rows: usize,
        activation: Activation,
        out: &Slice,
    ) -> Result<()> {
        self.check(x, rows, out)?;
        let params = Params {
            rows: rows as u32,
            inner: self.inner as u32,
            columns: self.columns as u32,
            activation: match activation {
                Activation::None => 0,
                Activation::Gelu => GELU,
                Activation::GeluTanh => GELU_TANH,
                Activation::QuickGelu => QUICK_GELU,
            },
            residual_rows: 1,
        };
        let slices = [(1, x), (2, self.weight), (3, self.bias), (4, out)];
        let stage = if self.half { &PLAIN_HALF } else { &PLAIN };
        recording.dispatch(stage, &params, &slices, self.groups(rows))
    }

    /// `residual + gain * (x W + b)`: `[R, K] -> [R, N]`.
    ///
    /// # Errors
    /// As [`Linear::record`].
    pub fn record_residual(
        &self,
        recording: &mut Recording,
        x: &Slice,
        rows: usize,
        residual: Residual,
        out: &Slice,
    ) -> Result<()> {
        self.check(x, rows, out)?;
        residual.gain.check("linear, gain", self.columns)?;
        residual.slice.check("linear, residual", residual.rows.max(1) * self.columns)?;
        let params = Params {
            rows: rows as u32,
            inner: self.inner as u32,
            columns: self.columns as u32,
            activation: 0,
            residual_rows: residual.rows.max(1) as u32,
        };
        let slices = [
            (1, x),
            (2, self.weight),
            (3, self.bias),
            (4, out),
            (5, residual.gain),
            (6, residual.slice),
        ];
        let stage = if self.half { &RESIDUAL_HALF } else { &RESIDUAL };
        recording.dispatch(stage, &params, &slices, self.groups(rows))
    }

    fn check(&self, x: &Slice, rows: usize, out: &Slice) -> Result<()> {
        super::by_four("linear", self.inner)?;
        super::by_four("linear", self.columns)?;
        let weights = self.inner * self.columns;
        self.weight.check("linear, weight", if self.half { weights / 2 } else { weights })?;
        self.bias.check("linear, bias", self.columns)?;
        x.check("linear, input", rows * self.inner)?;
        out.check("linear, output", rows * self.columns)
    }

    fn groups(&self, rows: usize) -> [u32; 3] {
        [rows.div_ceil(ROWS) as u32, self.columns.div_ceil(COLUMNS) as u32, 1]
    }
}
