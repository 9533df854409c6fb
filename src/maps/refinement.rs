use burn::tensor::Tensor;

use super::{FeatureMaps, borrow_tokens, patches_of};
use crate::error::{Error, Result};
use crate::gpu::{GatedRefine, LowRankRefine};
use crate::interop::{borrow, output, run};
use crate::refine::Adapter;

impl FeatureMaps {
    /// Tokens refined by an adapter, `[B, T, D] -> [B, T, D]`, as
    /// [`Adapter::forward`]: of the first `prefix` tokens at most the class token changes, and
    /// that by a gated adapter alone. The shaders take ranks up to 256; above that burn's
    /// operations do the work.
    ///
    /// # Errors
    /// [`Error::Shape`] where the adapter does not fit, else as [`norms`](Self::norms).
    pub fn refine(&self, tokens: Tensor<3>, adapter: &Adapter, prefix: usize) -> Result<Tensor<3>> {
        patches_of(&tokens, prefix)?;
        check(adapter, tokens.dims()[2])?;
        let rank = adapter.down.dims()[1];
        let gpu = self.gpu.as_ref().filter(|_| (1..=LowRankRefine::MAX_RANK).contains(&rank));
        let Some(gpu) = gpu else {
            return Ok(adapter.forward(tokens, prefix));
        };
        let device = tokens.device();
        let (result, out) = output(tokens.dims(), &device)?;
        let (_buffer, tokens) = borrow_tokens(tokens, prefix)?;
        let (down, up) = (borrow(adapter.down.val())?, borrow(adapter.up.val())?);
        let (down, up) = (&down.slice, &up.slice);
        let Some(gate) = &adapter.gate else {
            run(gpu, &device, |recording| {
                LowRankRefine::record(recording, &tokens, down, up, rank, &out.slice)
            })?;
            return Ok(result);
        };
        let (centre, limit) = (borrow(gate.centre.val())?, borrow(gate.limit.val())?);
        let gated = GatedRefine {
            down,
            up,
            centre: &centre.slice,
            limit: &limit.slice,
            rank,
            // Without class and register tokens, the first token is a patch.
            class_token: gate.class_token && prefix > 0,
        };
        run(gpu, &device, |recording| gated.record(recording, &tokens, &out.slice))?;
        Ok(result)
    }
}

fn check(adapter: &Adapter, width: usize) -> Result<()> {
    let ([from, rank], [rank_up, to]) = (adapter.down.dims(), adapter.up.dims());
    let gate = adapter.gate.as_ref().map(|gate| [gate.centre.dims()[0], gate.limit.dims()[0]]);
    if [from, to] == [width; 2] && rank == rank_up && gate.is_none_or(|gate| gate == [width, rank])
    {
        return Ok(());
    }
    let gate = gate.map_or(String::new(), |[centre, limit]| {
        format!(" with a gate of {centre} values and {limit} limits")
    });
    let reason =
        format!("[{from}, {rank}] and [{rank_up}, {to}]{gate} do not fit tokens of width {width}");
    Err(Error::shape("adapter", reason))
}
