use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::nullspace::Basis;
use crate::tokens::on_patches;

/// The low-rank adapter `F̂ = F + (F Φ_down) Φ_up` on patch tokens (paper, the
/// refinement; class and register tokens pass unchanged), or with a [`Gate`] that of the
/// closed form.
#[derive(Module, Debug)]
pub struct Adapter {
    /// Φ_down, `[D, r]`.
    pub down: Param<Tensor<2>>,
    /// Φ_up, `[r, D]`.
    pub up: Param<Tensor<2>>,
    /// Which tokens are refined; none for every patch token.
    pub gate: Option<Gate>,
}

/// Where the closed form refines: `F̂ = F + g (F − c) Φ_down Φ_up` with the centre c, and
/// g = 1 for a token that lies further than a clean one along an artifact direction,
/// `max_j |(F − c) · Φ_up,j| / limit_j > 1`, else 0. All other tokens pass unchanged.
#[derive(Module, Debug)]
pub struct Gate {
    /// c, `[D]`.
    pub centre: Param<Tensor<1>>,
    /// The largest score of a clean token along each direction, `[r]`.
    pub limit: Param<Tensor<1>>,
    /// Whether the class token is refined as patch tokens are.
    pub class_token: bool,
}

impl Gate {
    /// With the centre c `[D]` and the limits `[r]`.
    pub fn new(centre: Tensor<1>, limit: Tensor<1>, class_token: bool) -> Self {
        let [centre, limit] = [centre, limit].map(Param::from_tensor);
        Self { centre, limit, class_token }
    }

    /// How far every token lies from the centre along the direction in which it lies
    /// furthest, as a multiple of that direction's limit: `[B, T, D] -> [B, T]`; the gate is
    /// open above 1. `up` is Φ_up, `[r, D]`.
    pub fn scores(&self, up: Tensor<2>, tokens: Tensor<3>) -> Tensor<2> {
        self.scores_of(up, tokens - self.centre.val().unsqueeze())
    }

    /// As `scores`, of tokens from which the centre is taken away.
    fn scores_of(&self, up: Tensor<2>, centred: Tensor<3>) -> Tensor<2> {
        let along = centred.matmul(up.transpose().unsqueeze());
        (along.abs() / self.limit.val().unsqueeze()).max_dim(2).squeeze_dim(2)
    }
}

impl Adapter {
    /// Starts at `Φ_down = N`, `Φ_up = N^T`, so that `F̂ = F (I + N N^T)`.
    pub fn from_basis(basis: &Basis, device: &Device) -> Self {
        let down = basis.to_tensor(device);
        let up = down.clone().transpose();
        Self::from_parts(down, up, None)
    }

    /// From stored Φ_down `[D, r]` and Φ_up `[r, D]`.
    pub fn from_data(down: TensorData, up: TensorData, device: &Device) -> Self {
        let [down, up] = [down, up].map(|data| Tensor::from_data(data, device));
        Self::from_parts(down, up, None)
    }

    /// From Φ_down `[D, r]`, Φ_up `[r, D]` and the gate, where it has one.
    pub fn from_parts(down: Tensor<2>, up: Tensor<2>, gate: Option<Gate>) -> Self {
        let [down, up] = [down, up].map(Param::from_tensor);
        Self { down, up, gate }
    }

    /// Refined tokens, `[B, T, D] -> [B, T, D]`; of the first `prefix` tokens at most the
    /// class token changes.
    pub fn forward(&self, tokens: Tensor<3>, prefix: usize) -> Tensor<3> {
        let Some(gate) = &self.gate else {
            return low_rank_refine(tokens, self.down.val(), self.up.val(), prefix);
        };
        let refine = |tokens: Tensor<3>| self.through(gate, tokens);
        match (gate.class_token, prefix) {
            (true, 1) => refine(tokens),
            (true, 2..) => {
                let rest = tokens.dims()[1] - prefix;
                let class = refine(tokens.clone().narrow(1, 0, 1));
                let registers = tokens.clone().narrow(1, 1, prefix - 1);
                Tensor::cat(vec![class, registers, refine(tokens.narrow(1, prefix, rest))], 1)
            }
            _ => on_patches(tokens, prefix, refine),
        }
    }

    fn through(&self, gate: &Gate, tokens: Tensor<3>) -> Tensor<3> {
        let centred = tokens.clone() - gate.centre.val().unsqueeze();
        let open = gate.scores_of(self.up.val(), centred.clone()).greater_elem(1.0).float();
        let shift = centred.matmul(self.down.val().unsqueeze()).matmul(self.up.val().unsqueeze());
        tokens + shift * open.unsqueeze_dim::<3>(2)
    }
}

/// Name of a layer's `down`, `up`, `centre` or `limit` in a file of trained parts.
pub(crate) fn adapter_part(layer: usize, part: &str) -> String {
    format!("adapter.{layer}.{part}")
}

/// `F̂ = F + (F Φ_down) Φ_up` on patch tokens: `[B, T, D]`, `[D, r]`, `[r, D]` to
/// `[B, T, D]`; the first `prefix` tokens pass unchanged.
pub fn low_rank_refine(
    tokens: Tensor<3>,
    down: Tensor<2>,
    up: Tensor<2>,
    prefix: usize,
) -> Tensor<3> {
    on_patches(tokens, prefix, |patches| {
        let shift = patches.clone().matmul(down.unsqueeze()).matmul(up.unsqueeze());
        patches + shift
    })
}

/// The paper's refinement without training, `F̂ = F (I − α N Nᵀ)` on outlier patches:
/// it takes the share α of their (near) nullspace component away. All other tokens pass
/// unchanged.
#[derive(Debug, Clone)]
pub struct TrainingFree {
    /// N, `[D, r]`, orthonormal columns.
    basis: Tensor<2>,
    share: f64,
}

impl TrainingFree {
    /// With the basis N of the block that reads the features, and α.
    pub fn new(basis: &Basis, share: f64, device: &Device) -> Self {
        Self { basis: basis.to_tensor(device), share }
    }

    /// `[B, T, D] -> [B, T, D]`; `outliers`, `[B, P]`, is 1 for the patches to
    /// refine and 0 for the others. The first `prefix` tokens pass unchanged.
    pub fn forward(&self, tokens: Tensor<3>, outliers: Tensor<2>, prefix: usize) -> Tensor<3> {
        on_patches(tokens, prefix, |patches| {
            let inside = patches
                .clone()
                .matmul(self.basis.clone().unsqueeze())
                .matmul(self.basis.clone().transpose().unsqueeze());
            patches - inside * outliers.unsqueeze_dim::<3>(2) * self.share
        })
    }
}
