"""The compiled module; its users are this package's own modules."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

__version__: str

_Path = str | PathLike[str]
_Report = Callable[[str], Any]

class Array:
    """Values of f32, row-major; ``numpy.asarray`` makes a view."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...

class Pictures:
    """8-bit images in memory: the bytes ``[H, W, 3]``, height and width of each."""

    def __init__(self, images: Sequence[tuple[bytes, int, int]]) -> None: ...

class Adapters:
    @staticmethod
    def open(path: _Path) -> Adapters: ...
    def save(self, path: _Path) -> None: ...
    @property
    def layers(self) -> list[int]: ...
    @property
    def is_closed(self) -> bool: ...

class Model:
    @staticmethod
    def open(reference: _Path, device: str, size: Sequence[int] | None, arch: str | None) -> Model: ...
    @property
    def arch(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def img_size(self) -> list[int]: ...
    @property
    def patch_size(self) -> int: ...
    @property
    def embed_dim(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def num_prefix_tokens(self) -> int: ...
    @property
    def grid(self) -> list[int]: ...
    @property
    def num_parameters(self) -> int: ...
    @property
    def mean(self) -> list[float]: ...
    @property
    def std(self) -> list[float]: ...
    @property
    def assumed(self) -> list[str]: ...
    def features(
        self, images: Pictures | tuple[bytes, Sequence[int]], layers: Sequence[int], refine: Adapters | None
    ) -> list[Array]: ...
    def maps(
        self,
        images: Pictures | tuple[bytes, Sequence[int]],
        layers: Sequence[int],
        mark: int | None,
        refine: Adapters | None,
    ) -> list[Array]: ...
    def export(
        self, path: _Path, to: str, dtype: str, replace: bool, head: bool
    ) -> tuple[list[tuple[Path, int]], list[str]]: ...
    def save(self, path: _Path) -> None: ...

def main(arguments: Sequence[str]) -> int: ...
def read_images(places: Sequence[str], limit: int, side: int) -> list[tuple[bytes, int, int]]: ...
def coloured(
    values: Sequence[float], grid: Sequence[int], size: Sequence[int], palette: str, range: tuple[float, float]
) -> bytes: ...
def painted(values: bytes, grid: Sequence[int], size: Sequence[int]) -> bytes: ...
def pca(
    model: Model,
    images: Pictures | tuple[bytes, Sequence[int]],
    layers: Sequence[int],
    refine: Adapters | None,
    foreground: float | None,
) -> list[Array]: ...
def segments(
    model: Model,
    images: Pictures | tuple[bytes, Sequence[int]],
    layers: Sequence[int],
    refine: Adapters | None,
    count: int,
    seed: int,
) -> list[Array]: ...
def attention(
    model: Model,
    images: Pictures | tuple[bytes, Sequence[int]],
    layers: Sequence[int],
    mark: int | None,
    refine: Adapters | None,
) -> list[Array]: ...
def closed_form(
    teacher: Model, images: Pictures | Sequence[str], wanted: str, report: _Report
) -> tuple[Adapters, str]: ...
def fit(teacher: Model, images: Pictures | Sequence[str], wanted: str, robust: bool, report: _Report) -> Adapters: ...
def distill(
    config: str,
    teacher: Model | None,
    images: Pictures | None,
    adapters: Adapters | None,
    resume: bool,
    report: _Report,
) -> Path: ...
def inspect(
    subject: Model | tuple[_Path, str],
    student: Model | None,
    images: Pictures | Sequence[str],
    layers: Sequence[int],
    adapters: Adapters | None,
    refine: Sequence[str],
    maps: Sequence[str],
    inject: bool,
    limit: int,
    out: _Path,
    report: _Report,
) -> None: ...
