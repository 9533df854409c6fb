"""The three losses of SiNGER, and the identity loss of the trained variant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Norms above so many times their image's median are outliers by the rule of the median.
TIMES_MEDIAN = 2.0


def patch_norms(tokens: Tensor, prefix_tokens: int = 1) -> Tensor:
    """L2 norms of the patch tokens, ``[B, T, D]`` to ``[B, P]``."""
    # The clamp gives a zero token a gradient of zero instead of NaN.
    return tokens[:, prefix_tokens:].square().sum(-1).clamp_min(1e-24).sqrt()


def gram(tokens: Tensor, prefix_tokens: int = 1) -> Tensor:
    """Gram matrix of the patch tokens at unit length, ``[B, T, D]`` to ``[B, P, P]``."""
    unit = F.normalize(tokens[:, prefix_tokens:], dim=-1, eps=1e-12)
    return unit @ unit.transpose(1, 2)


def outliers(
    refined: Tensor,
    prefix_tokens: int = 1,
    rule: Literal["quantile", "median"] = "quantile",
    quantile: float = 0.97,
) -> Tensor:
    """The outlier loss: the mean squared excess of outliers' norms over their image's threshold, a scalar.

    Parameters
    ----------
    refined : Tensor
        ``[B, T, D]``.
    rule : {"quantile", "median"}
        ``quantile`` pulls norms above their image's quantile to it (paper); ``median`` those above twice their image's
        median to the median. The threshold has no gradient.
    """
    norms = patch_norms(refined, prefix_tokens)
    fixed = norms.detach()
    q = quantile if rule == "quantile" else 0.5
    threshold = torch.quantile(fixed, q, dim=1, keepdim=True)
    least = threshold if rule == "quantile" else threshold * TIMES_MEDIAN
    above = (fixed > least).to(norms.dtype)
    excess = ((norms - threshold) * above).square().sum()
    return excess / above.sum().clamp_min(1)


def identity(refined: Tensor, raw: Tensor, prefix_tokens: int = 1) -> Tensor:
    """Mean squared change of the patches whose raw norm is at most twice their image's median, a scalar.

    Both are ``[B, T, D]``.
    """
    norms = patch_norms(raw, prefix_tokens).detach()
    limit = torch.quantile(norms, 0.5, dim=1, keepdim=True) * TIMES_MEDIAN
    inliers = (norms <= limit).to(norms.dtype)
    change = (refined - raw)[:, prefix_tokens:].square().mean(-1)
    return (change * inliers).sum() / inliers.sum().clamp_min(1)


class Losses(NamedTuple):
    """Scalars, each with its weight and over the number of layers, as ``metrics.jsonl`` of ``singer distill`` has them."""

    #: The sum of the others: what to train on.
    total: Tensor
    #: Distillation: mean squared difference of projected and refined tokens.
    kd: Tensor
    #: Norms of outliers above their threshold.
    outlier: Tensor
    #: What the next block gives for refined tokens, compared with raw ones.
    info: Tensor
    #: Change of clean patches; 0 where it has no weight.
    identity: Tensor


class SingerLoss(nn.Module):
    """``(kd L_KD + outlier L_outlier + info L_info + identity L_identity) / |layers|``.

    Parameters
    ----------
    kd, outlier, info, identity : float
        The weights.
    quantile : float
        Of an image's patch norms, above which a patch is an outlier.
    outliers : {"quantile", "median"}
        The rule of :func:`outliers`.
    form : {"paper", "reference"}
        Of the information loss. ``paper`` compares Gram matrices of what the next block gives for refined and raw tokens,
        and of the tokens themselves for the last block. ``reference`` compares the next block's tokens, and the last
        block's Gram matrix with that of the layer before it in the list.
    prefix_tokens : int
        Class and register tokens before the patch tokens.
    """

    def __init__(
        self,
        kd: float = 1.0,
        outlier: float = 0.01,
        info: float = 1.0,
        identity: float = 0.0,
        quantile: float = 0.97,
        outliers: Literal["quantile", "median"] = "quantile",
        form: Literal["paper", "reference"] = "paper",
        prefix_tokens: int = 1,
    ):
        super().__init__()
        for name, weight in (("kd", kd), ("outlier", outlier), ("info", info), ("identity", identity)):
            if not (weight >= 0 and weight < float("inf")):
                raise ValueError(f"{name} is {weight}: it must be 0 or more")
        if not 0 <= quantile <= 1:
            raise ValueError(f"quantile is {quantile}: it must lie between 0 and 1")
        if outliers not in ("quantile", "median"):
            raise ValueError(f"outliers is {outliers!r}: use 'quantile' or 'median'")
        if form not in ("paper", "reference"):
            raise ValueError(f"form is {form!r}: use 'paper' or 'reference'")
        self.kd, self.outlier, self.info, self.identity = kd, outlier, info, identity
        self.quantile, self.rule, self.form, self.prefix_tokens = quantile, outliers, form, prefix_tokens

    @classmethod
    def robust(cls, **settings) -> SingerLoss:
        """That of ``--refine trained``: the rule of the median, and an identity loss of weight 10."""
        return cls(**{"outliers": "median", "identity": 10.0, **settings})

    def forward(
        self,
        projected: Sequence[Tensor],
        refined: Sequence[Tensor],
        raw: Sequence[Tensor] | None = None,
        next_refined: Sequence[Tensor | None] | None = None,
        next_raw: Sequence[Tensor | None] | None = None,
    ) -> Losses:
        """The losses of a batch.

        Parameters
        ----------
        projected : sequence of Tensor
            The student's tokens in the teacher's width, ``[B, T, D]`` for each layer.
        refined : sequence of Tensor
            The teacher's refined tokens ``[B, T, D]``. They keep their gradient, which trains the adapters.
        raw : sequence of Tensor, optional
            The teacher's own tokens. Without them the refinement is frozen, and the distillation loss is the only one.
        next_refined, next_raw : sequence of Tensor or None, optional
            What the next block gives for either, ``[B, T, D]``; None for the last block.
        """
        if len(projected) != len(refined) or not refined:
            raise ValueError(f"{len(projected)} layers of the student for {len(refined)} of the teacher")
        share = 1 / len(refined)
        kd = self.kd * share * sum(F.mse_loss(ours, theirs) for ours, theirs in zip(projected, refined))
        zero = kd.new_zeros(())
        if raw is None:
            return Losses(kd, kd, zero, zero, zero)
        nothing = [None] * len(refined)
        next_refined, next_raw = next_refined or nothing, next_raw or nothing
        prefix = self.prefix_tokens
        pulled = sum(outliers(tokens, prefix, self.rule, self.quantile) for tokens in refined)
        changed = sum(
            self._information(at, refined, tokens, next_refined[at], next_raw[at]) for at, tokens in enumerate(raw)
        )
        outlier, info, kept = self.outlier * share * pulled, self.info * share * changed, zero
        if self.identity > 0:
            moved = sum(identity(ours, theirs, prefix) for ours, theirs in zip(refined, raw))
            kept = self.identity * share * moved
        return Losses(kd + outlier + info + kept, kd, outlier, info, kept)

    def _information(
        self, at: int, refined: Sequence[Tensor], raw: Tensor, next_refined: Tensor | None, next_raw: Tensor | None
    ) -> Tensor:
        prefix, there = self.prefix_tokens, next_refined is not None and next_raw is not None
        if self.form == "paper":
            ours, theirs = (next_refined, next_raw) if there else (refined[at], raw)
            return F.mse_loss(gram(ours, prefix), gram(theirs, prefix))
        if there:
            return F.mse_loss(next_refined, next_raw)
        if at == 0:
            raise ValueError("the reference form needs an intermediate layer before the last block")
        return F.mse_loss(gram(refined[at], prefix), gram(refined[at - 1], prefix))
