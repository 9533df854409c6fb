"""SiNGER: distil Vision Transformers into small, clean students, on any GPU.

Large ViTs grow high-norm artifact tokens, and feature distillation copies them into the student. SiNGER (Yu, Jeong et al.,
ICLR 2026) refines the teacher's features first; the student learns from the refined features.

>>> import singer
>>> teacher = singer.Model.open("teacher.safetensors")                      # doctest: +SKIP
>>> closed = singer.fit(teacher, "photos/")                                 # doctest: +SKIP
>>> run = singer.distill(teacher, "vit_tiny_patch16_224", "photos/", out="runs/tiny", adapters=closed)  # doctest: +SKIP

:mod:`singer.torch` is the method for a PyTorch training loop of your own; it needs none of the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import DataError, DeviceError, ModelError, NotFiniteError, SettingError, SingerError

if TYPE_CHECKING:
    from ._singer import __version__
    from .images import read_images
    from .inspection import Inspection, inspect
    from .model import Maps, Model
    from .runs import Adapters, Run, distill, fit

__all__ = [
    "Adapters",
    "DataError",
    "DeviceError",
    "Inspection",
    "Maps",
    "Model",
    "ModelError",
    "NotFiniteError",
    "Run",
    "SettingError",
    "SingerError",
    "__version__",
    "distill",
    "fit",
    "inspect",
    "read_images",
]

# Loaded when they are asked for, so that singer.torch works without the compiled module.
_PLACES = {
    "__version__": "_singer",
    "Inspection": "inspection",
    "inspect": "inspection",
    "read_images": "images",
    "Maps": "model",
    "Model": "model",
    "Adapters": "runs",
    "Run": "runs",
    "distill": "runs",
    "fit": "runs",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'singer' has no attribute {name!r}")
    value = getattr(import_module(f"singer.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
