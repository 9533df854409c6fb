"""The method on timm models: taps on the blocks, projections, adapters, losses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .losses import Losses, SingerLoss
from .mapping import map_layers
from .nullspace import starting_adapter
from .refine import Refine, load_refinements, refinement_tensors

Refinement = str | PathLike | Mapping[int, Refine] | None


def hook(
    student: nn.Module,
    teacher: nn.Module,
    refine: Refinement = None,
    layers: Sequence[int] = (),
    loss: SingerLoss | None = None,
    rank: int = 64,
    mapping: Literal["last", "reference"] = "last",
) -> Hooked:
    """Wires a teacher's refined features and the losses to a student; both are timm Vision Transformers.

    Parameters
    ----------
    student : nn.Module
        The model that your loop trains. Its forward pass stays as it is; taps on its blocks see the tokens.
    teacher : nn.Module
        Frozen by this call: in evaluation mode and without gradients.
    refine : str, path or mapping
        What is done to the teacher's features first:

        - a file of ``singer fit``, or a run's ``singer.safetensors``: a closed form stays as it is, and adapters are
          trained on from there;
        - ``"published"``: adapters that start in the left nullspace and are trained with the student (paper);
        - ``"trained"``: adapters that start at zero, with robust losses;
        - a mapping from the teacher's block to :class:`Refine`;
        - None: nothing, the student learns from raw features.
    layers : sequence of int
        The teacher's intermediate blocks to learn from, from 0. The last block is always added.
    loss : SingerLoss, optional
        The losses; the paper's weights by default.
    rank : int
        Of adapters that start here.
    mapping : {"last", "reference"}
        The rule of :func:`map_layers`.

    Returns
    -------
    Hooked
        Give its parameters to your optimiser, and call it with each batch after the student.

    Raises
    ------
    TypeError
        For a model without timm's ``blocks``.
    ValueError
        For layers that the teacher does not have, adapters of another teacher, and a student whose tokens do not match
        the teacher's.

    Examples
    --------
    >>> import timm, torch
    >>> from singer.torch import hook
    >>> teacher = timm.create_model("vit_small_patch16_224", depth=4, img_size=32, patch_size=8)
    >>> student = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=32, patch_size=8)
    >>> singer = hook(student, teacher, refine="published", layers=[1], rank=8)
    >>> images = torch.zeros(2, 3, 32, 32)
    >>> logits = student(images)
    >>> singer(images).total.backward()
    """
    for role, model in (("student", student), ("teacher", teacher)):
        if not hasattr(model, "blocks") or not hasattr(model, "num_prefix_tokens"):
            raise TypeError(f"the {role} must be a Vision Transformer of timm, with blocks and num_prefix_tokens")
    depth, prefix = len(teacher.blocks), teacher.num_prefix_tokens
    layers = sorted({*layers, depth - 1})
    if layers[0] < 0 or layers[-1] >= depth:
        raise ValueError(f"layers {layers}: the teacher's blocks are 0 to {depth - 1}")
    if student.num_prefix_tokens != prefix:
        raise ValueError(
            f"the student has {student.num_prefix_tokens} class and register tokens, and the teacher {prefix}"
        )
    refinements, frozen = _refinements(refine, teacher, layers, rank, prefix)
    if loss is None:
        loss = SingerLoss.robust() if refine == "trained" else SingerLoss()
    loss.prefix_tokens = prefix
    student_layers = map_layers(layers, depth, len(student.blocks), mapping)
    return Hooked(student, teacher, layers, student_layers, refinements, frozen, loss)


def _refinements(
    refine: Refinement, teacher: nn.Module, layers: list[int], rank: int, prefix: int
) -> tuple[dict[int, Refine], bool]:
    """Refinements by block, and whether they stay as they are."""
    if refine is None:
        return {}, True
    if refine in ("published", "trained"):
        zero = refine == "trained"
        return {layer: starting_adapter(teacher.blocks, layer, rank, zero, prefix) for layer in layers}, False
    found = dict(refine) if isinstance(refine, Mapping) else load_refinements(refine, prefix)
    _check(found, teacher)
    closed = all(one.is_closed for one in found.values())
    if not closed:
        missing = [layer for layer in layers if layer not in found]
        if missing:
            raise ValueError(f"there are adapters for blocks {sorted(found)} and none for block {missing[0]}")
        found = {layer: found[layer] for layer in layers}
        if any(one.is_closed for one in found.values()):
            raise ValueError("closed forms and adapters do not go together")
    return found, closed


def _check(refinements: Mapping[int, Refine], teacher: nn.Module) -> None:
    for layer, refine in refinements.items():
        width = refine.down.shape[0]
        if not 0 <= layer < len(teacher.blocks):
            raise ValueError(f"there is an adapter for block {layer}; the teacher's are 0 to {len(teacher.blocks) - 1}")
        if width != teacher.embed_dim:
            raise ValueError(f"the adapters are of a teacher of width {width}; this one's is {teacher.embed_dim}")


class Handle:
    """Takes hooks off again, by :meth:`remove` or as a context manager."""

    def __init__(self, handles: list[Any]):
        self._handles = handles

    def remove(self) -> None:
        """Takes them off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def attach(model: nn.Module, refine: str | PathLike | Mapping[int, Refine]) -> Handle:
    """Refines a timm model's tokens in its own forward pass, after each block that a closed form names.

    Later blocks read the refined tokens, as in ``singer distill``: whatever reads the model's features then reads clean
    ones.

    Raises
    ------
    ValueError
        For adapters that were trained: they refine what a student learns from, and not what the next block reads.
    """
    prefix = model.num_prefix_tokens
    found = dict(refine) if isinstance(refine, Mapping) else load_refinements(refine, prefix)
    if any(not one.is_closed for one in found.values()):
        raise ValueError("only a closed form can be attached to a model")
    _check(found, model)

    def refined(one: Refine) -> Callable:
        def change(_module: nn.Module, _args: Any, tokens: Tensor) -> Tensor:
            return one.to(tokens.device)(tokens)

        return change

    return Handle([model.blocks[layer].register_forward_hook(refined(one)) for layer, one in found.items()])


class Hooked(nn.Module):
    """A student with a teacher's refined features and the losses; :func:`hook` makes it.

    Its parameters are the projections from the student's width to the teacher's, and adapters that are trained. Neither
    model is among its modules; moving it to a device moves the teacher along.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        layers: list[int],
        student_layers: list[int],
        refinements: Mapping[int, Refine],
        frozen: bool,
        loss: SingerLoss,
    ):
        super().__init__()
        #: The teacher's blocks that are learnt from, ascending.
        self.layers = layers
        #: The student's block for each of them.
        self.student_layers = student_layers
        self.frozen = frozen
        self.loss = loss
        self.refinements = nn.ModuleDict({str(layer): refine for layer, refine in refinements.items()})
        device = next(student.parameters()).device
        width = student.embed_dim, teacher.embed_dim
        self.projections = nn.ModuleDict({str(layer): nn.Linear(*width) for layer in layers}).to(device)
        self.refinements.to(device)
        # Not as submodules: their parameters are not this module's.
        self._models = (student, teacher.eval().requires_grad_(False))
        self._seen: dict[int, Tensor] = {}
        self._taken: dict[int, Tensor] | None = None
        self._arguments: dict[int, tuple[tuple, dict]] = {}
        blocks = student.blocks
        self._handles = [blocks[at].register_forward_hook(self._see(at)) for at in student_layers]
        for at, block in enumerate(teacher.blocks):
            self._handles.append(block.register_forward_hook(self._take(at), with_kwargs=True))

    def _see(self, at: int) -> Callable:
        def keep(_module: nn.Module, _args: Any, tokens: Tensor) -> None:
            # Without gradients it is a validation, whose tokens no loss will ask for.
            if torch.is_grad_enabled():
                self._seen[at] = tokens

        return keep

    def _take(self, at: int) -> Callable:
        def take(_module: nn.Module, args: tuple, kwargs: dict, tokens: Tensor) -> Tensor | None:
            if self._taken is None:
                return None
            # What a block takes beside tokens, such as rotary positions.
            self._arguments[at] = args[1:], kwargs
            if self.frozen and str(at) in self.refinements:
                tokens = self.refinements[str(at)](tokens)
            self._taken[at] = tokens
            return tokens

        return take

    @torch.no_grad()
    def teacher_tokens(self, images: Tensor) -> dict[int, Tensor]:
        """The teacher's tokens ``[B, T, D]`` leaving each block, refined where the refinement is frozen.

        ``images`` are ``[B, 3, H, W]``, prepared as for the student.
        """
        self._taken = {}
        try:
            self._models[1].forward_features(images)
            return self._taken
        finally:
            self._taken = None

    def forward(self, images: Tensor) -> Losses:
        """The losses of a batch ``[B, 3, H, W]`` that the student has just seen.

        Where it has not, it is run here. Tokens of the student are used once.
        """
        student, teacher = self._models
        if len(self._seen) < len(self.student_layers):
            student.forward_features(images)
        seen, self._seen = self._seen, {}
        ours = [seen[at] for at in self.student_layers]
        tokens = self.teacher_tokens(images)
        raw = [tokens[layer] for layer in self.layers]
        for made, wanted in zip(ours, raw):
            if made.shape[:2] != wanted.shape[:2]:
                raise ValueError(
                    f"the student's tokens are {list(made.shape[:2])} and the teacher's {list(wanted.shape[:2])}: "
                    "run the student on this batch, and let both have the same patches"
                )
        projected = [self.projections[str(layer)](made) for layer, made in zip(self.layers, ours)]
        if self.frozen:
            return self.loss(projected, raw)
        refined = [self.refinements[str(layer)](one) for layer, one in zip(self.layers, raw)]
        next_refined, next_raw = [], []
        for layer, one in zip(self.layers, refined):
            last = layer + 1 == len(teacher.blocks)
            args, kwargs = ((), {}) if last else self._arguments[layer + 1]
            next_refined.append(None if last else teacher.blocks[layer + 1](one, *args, **kwargs))
            next_raw.append(None if last else tokens[layer + 1])
        return self.loss(projected, refined, raw, next_refined, next_raw)

    def save(self, path: str | PathLike) -> None:
        """Writes adapters and projections as a run's ``singer.safetensors``, which ``singer`` opens."""
        refinements = {int(layer): refine for layer, refine in self.refinements.items()}
        closed = self.frozen and bool(refinements)
        tensors, notes = refinement_tensors(refinements, closed)
        for layer, projection in self.projections.items():
            tensors[f"proj.{layer}.weight"] = projection.weight.detach().float().cpu().contiguous()
            tensors[f"proj.{layer}.bias"] = projection.bias.detach().float().cpu().contiguous()
        if closed:
            notes["refined_layers"] = notes["layers"]
        notes |= {"layers": json.dumps(self.layers), "student_layers": json.dumps(self.student_layers)}
        save_file(tensors, fspath(path), notes)

    def remove(self) -> None:
        """Takes the taps off both models."""
        Handle(self._handles).remove()
        self._handles = []

    def _apply(self, fn: Callable, recurse: bool = True) -> Hooked:
        self._models[1]._apply(fn)
        return super()._apply(fn, recurse)
