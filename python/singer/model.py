"""Models: open, tokens, maps, export."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _singer
from .errors import SettingError
from .images import is_torch, prepared

if TYPE_CHECKING:
    from .runs import Adapters


#: Colours of segments.
_SEGMENTS = np.array(
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [63, 164, 220], [240, 228, 66], [138, 141, 145]], np.uint8
)

_TITLES = {
    "norm": "Patch norms",
    "similarity": "Cosine similarity to the marked patch",
    "pca": "Principal components",
    "attention": "Attention, mean over heads,",
    "segments": "Segments",
}


class Maps:
    """A map of the patches of each image, after one block; shows itself in a notebook.

    Attributes
    ----------
    values : numpy.ndarray
        Norms, similarities and segments ``[B, rows, columns]``; principal components as red, green and blue
        ``[B, rows, columns, 3]``, 0 to 1, NaN for background; attention by head ``[B, H, rows, columns]``.
    layer : int
        The block, from 0.
    kind : {"norm", "similarity", "pca", "attention", "segments"}
        What it shows, see :meth:`Model.maps`.
    """

    def __init__(self, values: np.ndarray, layer: int, kind: str):
        self.values, self.layer, self.kind = values, layer, kind

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.values if dtype is None else self.values.astype(dtype, copy=False)
        return values.copy() if copy else values

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Maps({self.kind}, block {self.layer}, {list(self.values.shape)}, {self._extent()})"

    def _extent(self) -> str:
        if self.kind in ("pca", "segments"):
            return "one scale for all images" if self.kind == "pca" else f"{int(self.values.max()) + 1} in all images"
        low, high = self.values.min(), self.values.max()
        return f"{low:.3g} to {high:.3g}, median {np.median(self.values):.3g}"

    def png(self, index: int, side: int = 160, palette: Literal["inferno", "viridis"] | None = None) -> bytes:
        """One image's map as a PNG file whose longer side has ``side`` pixels; all maps share one colour scale.

        Of an attention it shows the mean over heads; ``palette`` is for numbers.
        """
        values = self.values.mean(1) if self.kind == "attention" else self.values
        rows, columns = values.shape[1:3]
        scale = side / max(rows, columns)
        size = [max(1, round(rows * scale)), max(1, round(columns * scale))]
        if self.kind in ("pca", "segments"):
            return _singer.painted(self._rgba(index).tobytes(), [rows, columns], size)
        palette = palette or ("viridis" if self.kind == "similarity" else "inferno")
        extent = float(values.min()), float(values.max())
        return _singer.coloured(values[index].ravel().tolist(), [rows, columns], size, palette, extent)

    def _rgba(self, index: int) -> np.ndarray:
        """Colours ``[rows, columns, 4]`` of one image, transparent where there are none."""
        values = self.values[index]
        if self.kind == "segments":
            colours = _SEGMENTS[values % len(_SEGMENTS)]
            return np.concatenate([colours, np.full_like(colours[..., :1], 255)], -1)
        seen = np.isfinite(values).all(-1, keepdims=True)
        return np.concatenate([np.where(seen, values * 255 + 0.5, 0), seen * 255], -1).astype(np.uint8)

    def _repr_html_(self) -> str:
        shown = min(len(self), 16)
        pictures = "".join(
            f'<img alt="map of image {at}" title="image {at}" style="margin:2px" '
            f'src="data:image/png;base64,{base64.b64encode(self.png(at, 112)).decode()}">'
            for at in range(shown)
        )
        more = f" (the first {shown} of {len(self)} images)" if shown < len(self) else ""
        return f"<p>{_TITLES[self.kind]} after block {self.layer}: {self._extent()}{more}</p><div>{pictures}</div>"


class Model:
    """A Vision Transformer that knows its name and shape and how its images are prepared.

    :meth:`open` makes one.
    """

    def __init__(self, inner: _singer.Model, reference: str):
        self._inner, self._reference = inner, reference

    @classmethod
    def open(
        cls,
        ref: str | PathLike[str],
        device: str = "auto",
        *,
        size: int | tuple[int, int] | None = None,
        arch: str | None = None,
    ) -> Model:
        """Opens weights on a device.

        Parameters
        ----------
        ref : str or path
            A file or folder in any published naming, a run's folder, a model of the hub
            (``hf-hub:OWNER/NAME[/FILE][@REVISION]``), or a timm name with the tag of its weights
            (``vit_small_patch16_224.augreg_in21k``), which is fetched from the hub.
        device : str
            ``auto`` (the best GPU, else the CPU), ``cpu``, ``gpu``, ``gpu:N`` or ``software``.
        size : int or (int, int), optional
            Height and width of the images in pixels, instead of the model's own; positions are resampled.
        arch : str, optional
            timm's name of the shape, where the file does not say it.

        Raises
        ------
        ModelError
            For weights that cannot be read or are of no known model.
        DeviceError
            For a device that is not there.
        """
        sides = None if size is None else [size, size] if isinstance(size, int) else list(size)
        return cls(_singer.Model.open(fspath(ref), device, sides, arch), fspath(ref))

    @property
    def arch(self) -> str:
        """timm's name where a published model has this shape, else a description."""
        return self._inner.arch

    @property
    def device(self) -> str:
        """The device's name."""
        return self._inner.device

    @property
    def img_size(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return tuple(self._inner.img_size)

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self._inner.patch_size

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along height and width."""
        return tuple(self._inner.grid)

    @property
    def embed_dim(self) -> int:
        """Width D of a token."""
        return self._inner.embed_dim

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self._inner.depth

    @property
    def num_prefix_tokens(self) -> int:
        """Class and register tokens before the patch tokens."""
        return self._inner.num_prefix_tokens

    @property
    def num_parameters(self) -> int:
        """Number of parameters."""
        return self._inner.num_parameters

    @property
    def mean(self) -> tuple[float, float, float]:
        """Channel means of pixel values in 0..1 that prepared images are moved by."""
        return tuple(self._inner.mean)

    @property
    def std(self) -> tuple[float, float, float]:
        """Channel deviations of pixel values in 0..1 that prepared images are divided by."""
        return tuple(self._inner.std)

    @property
    def assumed(self) -> list[str]:
        """What no file said of the model and was assumed, a line each."""
        return self._inner.assumed

    def __repr__(self) -> str:
        height, width = self.img_size
        return f"Model({self.arch}, {self.num_parameters / 1e6:.1f} M parameters, {height}x{width} pixels, {self.device})"

    def _layers(self, layers: Sequence[int] | None) -> list[int]:
        layers = [self.depth - 1] if layers is None else list(layers)
        layers = [layer + self.depth if layer < 0 else layer for layer in layers]
        if not layers or min(layers) < 0:
            raise SettingError(f"layers: the blocks are 0 to {self.depth - 1}, and at least one is named")
        return layers

    def features(
        self,
        images: Any,
        layers: Sequence[int] | None = None,
        *,
        refine: Adapters | str | PathLike[str] | None = None,
    ) -> list[Any]:
        """The tokens that leave blocks, without the final norm.

        Parameters
        ----------
        images : PIL image, array, tensor, or a list of them
            8-bit images of any size are prepared as the model wants them: ``[H, W, 3]``, ``[B, H, W, 3]``, ``[3, H, W]``,
            ``[B, 3, H, W]``. Float arrays ``[B, 3, H, W]`` of the model's size are taken as prepared.
        layers : sequence of int, optional
            Blocks from 0, or from the end where negative; the last one by default.
        refine : Adapters or path, optional
            A teacher's refinement, as :func:`singer.fit` gives it. Later blocks read what a closed form has refined.

        Returns
        -------
        list
            ``[B, T, D]`` float32 for each layer: class and register tokens first, then the patch tokens in rows. Torch
            tensors where ``images`` is one, else NumPy arrays; either is a view of what the model gave.
        """
        found = self._inner.features(prepared(images), self._layers(layers), _adapters(refine))
        arrays = [np.asarray(one) for one in found]
        if not is_torch(images):
            return arrays
        import torch

        return [torch.from_numpy(array) for array in arrays]

    def maps(
        self,
        images: Any,
        layers: Sequence[int] | None = None,
        *,
        kind: Literal["norm", "similarity", "pca", "attention", "segments"] | None = None,
        mark: tuple[int, int] | None = None,
        refine: Adapters | str | PathLike[str] | None = None,
        foreground: float | None = None,
        segments: int = 6,
        seed: int = 0,
    ) -> list[Maps]:
        """Maps of the patches after blocks.

        Parameters
        ----------
        images, layers, refine
            As in :meth:`features`. Attention takes a closed form only.
        kind : {"norm", "similarity", "pca", "attention", "segments"}, optional
            ``norm``: L2 norms, the default. ``similarity``: the cosine of every patch to ``mark``, the default with a mark.
            ``pca``: the three leading principal components of the patches of all images as red, green and blue.
            ``attention``: what the class token, or ``mark``, attends to in the block. ``segments``: k-means of the
            directions of all images' patches, the largest segment first.
        mark : (int, int), optional
            Row and column of a patch.
        foreground : float, optional
            For ``pca``: patches whose first component lies below this many of its standard deviations are background
            (NaN), and the components are those of the others; DINOv2's figure has 0.
        segments, seed : int
            Number of segments, and the seed of their first centres.

        Returns
        -------
        list of Maps
            For each layer ``[B, rows, columns]``; ``[B, rows, columns, 3]`` for ``pca``, ``[B, H, rows, columns]`` for
            ``attention``.
        """
        layers, (rows, columns), place = self._layers(layers), self.grid, None
        kind = kind or ("norm" if mark is None else "similarity")
        if kind not in _TITLES:
            raise SettingError(f"kind is {kind!r}: use {', '.join(_TITLES)}")
        if mark is not None:
            row, column = mark
            if not (0 <= row < rows and 0 <= column < columns):
                raise SettingError(f"mark is {mark}: there are {rows} rows and {columns} columns of patches")
            place = row * columns + column
        elif kind == "similarity":
            raise SettingError("similarity needs a mark: the row and column of a patch")
        given, adapters, inner = prepared(images), _adapters(refine), self._inner
        if kind == "pca":
            found = _singer.pca(inner, given, layers, adapters, foreground)
        elif kind == "segments":
            found = _singer.segments(inner, given, layers, adapters, segments, seed)
        elif kind == "attention":
            found = _singer.attention(inner, given, layers, place, adapters)
        else:
            found = inner.maps(given, layers, place if kind == "similarity" else None, adapters)
        arrays = [np.asarray(one) for one in found]
        if kind == "segments":
            arrays = [array.astype(np.int64) for array in arrays]
        shape = {"pca": (rows, columns, 3), "attention": (-1, rows, columns)}.get(kind, (rows, columns))
        return [Maps(array.reshape(len(array), *shape), layer, kind) for array, layer in zip(arrays, layers)]

    def export(
        self,
        path: str | PathLike[str],
        to: Literal["timm", "hf", "onnx"] = "timm",
        *,
        dtype: Literal["f32", "f16", "bf16"] = "f32",
        head: bool = True,
        replace: bool = False,
    ) -> Exported:
        """Writes the model for another runtime.

        Parameters
        ----------
        path : str or path
            A folder; for ONNX also a file whose name ends in ``.onnx``.
        to : {"timm", "hf", "onnx"}
            The runtime.
        dtype : {"f32", "f16", "bf16"}
            Of the weights.
        head : bool
            Whether the classification head is written too.
        replace : bool
            Whether files that are there may be replaced.

        Raises
        ------
        ModelError
            Where the format cannot express the model.
        DataError
            Where something is in its place.
        """
        return Exported(*self._inner.export(fspath(path), to, dtype, replace, head))

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the model as safetensors with timm's names, its shape and the preparation of its images."""
        self._inner.save(fspath(path))


class Exported:
    """What an export wrote.

    Attributes
    ----------
    files : list of (path, int)
        Paths and sizes in bytes.
    notes : list of str
        How to load the model, a line each.
    """

    def __init__(self, files: list[tuple[Any, int]], notes: list[str]):
        self.files, self.notes = files, notes

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        return iter(self.files)

    def __repr__(self) -> str:
        return "\n".join([*(f"{path} ({size:,} bytes)" for path, size in self.files), *self.notes])


def _adapters(refine: Any) -> _singer.Adapters | None:
    """The compiled adapters of what was given."""
    if refine is None:
        return None
    inner = getattr(refine, "_inner", None)
    return inner if isinstance(inner, _singer.Adapters) else _singer.Adapters.open(fspath(refine))
