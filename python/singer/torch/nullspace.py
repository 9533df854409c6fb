"""The left nullspace of a block, linearised as its MLP, in which the paper's adapters start."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .refine import Refine


def linearised(block: nn.Module) -> Tensor:
    """``(W_fc2 W_fc1)^T`` of a timm block, ``[D, D]`` in f64: its MLP without bias and activation.

    Of a SwiGLU, ``W_fc1`` is the half that makes the values.
    """
    mlp = block.mlp
    fc2 = mlp.fc2.weight.detach().double()
    if hasattr(mlp, "fc1_x"):
        fc1 = mlp.fc1_x.weight
    elif mlp.fc1.weight.shape[0] == 2 * fc2.shape[1]:
        fc1 = mlp.fc1.weight.chunk(2)[1]
    else:
        fc1 = mlp.fc1.weight
    return (fc2 @ fc1.detach().double()).T


def nullspace_basis(matrix: Tensor, rank: int = 64) -> Tensor:
    """Left singular vectors of the ``rank`` smallest singular values: ``[D, D]`` to ``[D, r]``, orthonormal columns."""
    dim = matrix.shape[0]
    if not 1 <= rank <= dim:
        raise ValueError(f"rank is {rank}: it must lie between 1 and the width {dim}")
    left, _, _ = torch.linalg.svd(matrix)
    return left[:, dim - rank :]


def starting_adapter(blocks: nn.Module, layer: int, rank: int, zero: bool, prefix_tokens: int) -> Refine:
    """The adapter of a layer at its start: ``down = N``, ``up = N^T`` (paper), or ``up = 0`` where nothing changes."""
    reader = min(layer + 1, len(blocks) - 1)
    basis = nullspace_basis(linearised(blocks[reader]), rank)
    device = next(blocks[reader].parameters()).device
    basis = basis.float().to(device)
    up = torch.zeros_like(basis.T) if zero else basis.T
    return Refine(basis, up, prefix_tokens=prefix_tokens)
