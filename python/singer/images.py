"""Images as people have them in Python, for the compiled module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from typing import Any, Union

import numpy as np

from . import _singer
from ._singer import Pictures
from .errors import SettingError

Image = Any
#: Places (a folder, a list, a pattern, an archive, `scenes:N`), or images in memory.
Images = Union[str, "PathLike[str]", Sequence[Union[str, "PathLike[str]"]], np.ndarray, Iterable[Image]]


def is_torch(value: Any) -> bool:
    """Whether it is a torch tensor, without importing torch."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def array_of(value: Any) -> np.ndarray:
    """A NumPy array of what a tensor, a PIL image or an array holds, a view where that is possible."""
    if is_torch(value):
        return value.detach().cpu().numpy()
    if hasattr(value, "convert") and hasattr(value, "mode"):
        return np.asarray(value.convert("RGB"))
    return np.asarray(value)


def _rows(value: Any) -> list[np.ndarray]:
    """8-bit images `[H, W, 3]` of one value."""
    array = array_of(value)
    if array.dtype != np.uint8:
        raise SettingError(f"images are of {array.dtype}: give uint8, or prepared float32 [B, 3, H, W]")
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, -1)
    if array.ndim == 3:
        array = array[None]
    if array.ndim == 4 and array.shape[-1] != 3 and array.shape[1] == 3:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[-1] != 3:
        raise SettingError(f"images are {list(array.shape)}: give [H, W, 3], [B, H, W, 3], [3, H, W] or [B, 3, H, W]")
    return list(array)


def _one(value: Any) -> list[np.ndarray]:
    """The image of a value that stands in a list; `[3, H, W]` is turned."""
    array = array_of(value)
    if array.ndim == 3 and array.shape[-1] != 3 and array.shape[0] == 3:
        array = array.transpose(1, 2, 0)
    return _rows(array)


def pictures(images: Any) -> Pictures:
    """8-bit images in memory, for the compiled module."""
    single = hasattr(images, "convert") or is_torch(images) or isinstance(images, np.ndarray)
    each = _one(images) if single and np.ndim(array_of(images)) == 3 else None
    if each is None:
        each = _rows(images) if single else [image for value in images for image in _one(value)]
    return Pictures([(image.tobytes(), image.shape[0], image.shape[1]) for image in each])


def prepared(images: Any) -> Any:
    """What :class:`Model` takes: pictures, or prepared float32 `[B, 3, H, W]`."""
    if is_torch(images) or isinstance(images, np.ndarray):
        array = array_of(images)
        if array.dtype.kind == "f":
            if array.ndim != 4 or array.shape[1] != 3:
                raise SettingError(f"prepared images are {list(array.shape)}, and must be [B, 3, H, W]")
            return np.ascontiguousarray(array, np.float32).tobytes(), list(array.shape)
    return pictures(images)


def places(images: Images) -> list[str] | Pictures:
    """Where images are, or those in memory."""
    if isinstance(images, (str, PathLike)):
        return [fspath(images)]
    if isinstance(images, (list, tuple)) and images and all(isinstance(place, (str, PathLike)) for place in images):
        return [fspath(place) for place in images]
    return pictures(images)


def read_images(images: str | PathLike[str] | Sequence[str], limit: int = 16, *, side: int = 224) -> list[np.ndarray]:
    """Reads images of places as 8-bit arrays ``[H, W, 3]``.

    Parameters
    ----------
    images : str, path or list of str
        Places as ``singer fit --data`` takes them: a folder, a list, a pattern, an archive, ``scenes:N``.
    limit : int
        Most images, evenly spread.
    side : int
        Side of procedural scenes in pixels.
    """
    named = [fspath(images)] if isinstance(images, (str, PathLike)) else [fspath(place) for place in images]
    read = _singer.read_images(named, limit, side)
    return [np.frombuffer(values, np.uint8).reshape(height, width, 3) for values, height, width in read]
