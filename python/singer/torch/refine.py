"""Refinement of a teacher's tokens: the paper's low-rank adapters and the closed form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike, fspath

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


class Refine(nn.Module):
    """Refines the tokens that leave one block of a teacher.

    Without a gate every patch token changes, ``F + (F down) up`` (the paper's adapter). With one, of the closed form, a
    token changes where it lies further than a clean one along an artifact direction::

        F + g (F - centre) down up,    g = 1 where max_j |(F - centre) . up_j| / limit_j > 1, else 0

    Register tokens never change, and the class token only where ``class_token`` says so.

    Parameters
    ----------
    down : Tensor
        ``[D, r]``.
    up : Tensor
        ``[r, D]``.
    centre : Tensor, optional
        ``[D]``, of the closed form.
    limit : Tensor, optional
        ``[r]``, the largest score of a clean token along each direction.
    class_token : bool
        Whether the closed form refines the class token as it does patch tokens.
    prefix_tokens : int
        Class and register tokens before the patch tokens: ``num_prefix_tokens`` of a timm model.

    Notes
    -----
    ``down`` and ``up`` are parameters without a gate, and buffers with one: a closed form is not trained.
    """

    def __init__(
        self,
        down: Tensor,
        up: Tensor,
        centre: Tensor | None = None,
        limit: Tensor | None = None,
        class_token: bool = False,
        prefix_tokens: int = 1,
    ):
        super().__init__()
        if down.dim() != 2 or up.shape != (down.shape[1], down.shape[0]):
            raise ValueError(f"down {list(down.shape)} and up {list(up.shape)} must be [D, r] and [r, D]")
        if (centre is None) != (limit is None):
            raise ValueError("a gate has a centre and a limit")
        if centre is None:
            self.down, self.up = nn.Parameter(down.clone()), nn.Parameter(up.clone())
        else:
            if centre.shape != down.shape[:1] or limit.shape != down.shape[1:]:
                raise ValueError(f"centre {list(centre.shape)} and limit {list(limit.shape)} must be [D] and [r]")
            self.register_buffer("down", down.clone())
            self.register_buffer("up", up.clone())
        self.register_buffer("centre", None if centre is None else centre.clone())
        self.register_buffer("limit", None if limit is None else limit.clone())
        self.class_token = class_token
        self.prefix_tokens = prefix_tokens

    @classmethod
    def from_file(cls, path: str | PathLike, layer: int | None = None, prefix_tokens: int = 1) -> Refine:
        """The refinement of one block, from a file of ``singer fit`` or a run's ``singer.safetensors``.

        Parameters
        ----------
        path : str or path
            The file.
        layer : int, optional
            The teacher's block, from 0; not needed where the file has one alone.
        prefix_tokens : int
            Class and register tokens before the patch tokens.

        Raises
        ------
        ValueError
            Where the file has no refinement of that block, or is damaged.
        """
        found = load_refinements(path, prefix_tokens)
        if layer is None:
            if len(found) != 1:
                raise ValueError(f"{fspath(path)} refines the blocks {sorted(found)}: give one as layer=")
            return next(iter(found.values()))
        if layer not in found:
            raise ValueError(f"{fspath(path)} refines the blocks {sorted(found)}, and not block {layer}")
        return found[layer]

    @property
    def is_closed(self) -> bool:
        """Whether it is a closed form, which is not trained."""
        return self.centre is not None

    def scores(self, tokens: Tensor) -> Tensor:
        """How far tokens lie from the centre, as a multiple of the limit: ``[B, T, D]`` to ``[B, T]``.

        The gate opens above 1. Only of a closed form.
        """
        if not self.is_closed:
            raise ValueError("only a closed form has a gate")
        return (((tokens - self.centre) @ self.up.T).abs() / self.limit).amax(-1)

    def _change(self, tokens: Tensor) -> Tensor:
        if not self.is_closed:
            return tokens + (tokens @ self.down) @ self.up
        gate = (self.scores(tokens) > 1).to(tokens.dtype)
        return tokens + ((tokens - self.centre) @ self.down @ self.up) * gate.unsqueeze(-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Refined tokens, ``[B, T, D]`` to ``[B, T, D]``."""
        prefix = self.prefix_tokens
        fixed, patches = tokens[:, :prefix], self._change(tokens[:, prefix:])
        if self.is_closed and self.class_token and prefix > 0:
            fixed = torch.cat([self._change(tokens[:, :1]), tokens[:, 1:prefix]], 1)
        return torch.cat([fixed, patches], 1)

    def extra_repr(self) -> str:
        dim, rank = self.down.shape
        kind = "closed form" if self.is_closed else "adapter"
        return f"{kind}, dim={dim}, rank={rank}, prefix_tokens={self.prefix_tokens}"


def load_refinements(path: str | PathLike, prefix_tokens: int = 1) -> dict[int, Refine]:
    """All refinements in a file of ``singer fit`` or a run's ``singer.safetensors``, by the teacher's block.

    Empty for a closed form that found no artifacts.

    Raises
    ------
    ValueError
        Where the file is damaged, or of another kind.
    """
    try:
        with safe_open(fspath(path), "pt") as file:
            notes = file.metadata() or {}
            closed = notes.get("refinement") == "closed"
            listed = notes.get("refined_layers" if closed and "refined_layers" in notes else "layers")
            if listed is None:
                raise ValueError(f"{fspath(path)} is no file of adapters: its metadata lists no layers")
            parts = ("down", "up", "centre", "limit") if closed else ("down", "up")
            found = {}
            for layer in sorted(json.loads(listed)):
                tensors = [file.get_tensor(f"adapter.{layer}.{part}") for part in parts]
                class_token = notes.get("class_token") == "true"
                found[layer] = Refine(*tensors, class_token=class_token, prefix_tokens=prefix_tokens)
            return found
    except SafetensorError as error:
        raise ValueError(f"{fspath(path)}: {error}") from error


def save_refinements(refinements: Mapping[int, Refine], path: str | PathLike, closed: bool | None = None) -> None:
    """Writes refinements, by the teacher's block, for ``singer distill --adapters`` and :meth:`Refine.from_file`.

    ``closed`` says whether they are a closed form; needed where there are none.
    """
    tensors, notes = refinement_tensors(refinements, closed)
    save_file(tensors, fspath(path), notes)


def refinement_tensors(
    refinements: Mapping[int, Refine], closed: bool | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of such a file."""
    if closed is None:
        closed = any(refine.is_closed for refine in refinements.values())
    if any(refine.is_closed != closed for refine in refinements.values()):
        raise ValueError("a file holds closed forms alone, or adapters alone")
    tensors = {}
    for layer, refine in refinements.items():
        for part in ("down", "up", "centre", "limit") if closed else ("down", "up"):
            tensors[f"adapter.{layer}.{part}"] = getattr(refine, part).detach().float().cpu().contiguous()
    notes = {"layers": json.dumps(sorted(refinements))}
    if closed:
        class_token = any(refine.class_token for refine in refinements.values())
        notes |= {"refinement": "closed", "class_token": str(class_token).lower()}
    return tensors, notes
