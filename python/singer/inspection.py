"""A look into a teacher, its refinement and its student."""

from __future__ import annotations

import html
import json
import shutil
import tempfile
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from . import _singer
from .errors import SettingError
from .images import Images, places
from .model import Model, _adapters
from .progress import Reporter
from .runs import Adapters, Run


class Inspection:
    """What an inspection found; shows itself in a notebook as its page.

    Attributes
    ----------
    findings : dict
        All numbers, as ``inspect.json`` of ``singer inspect`` has them.
    page : str
        The report as one HTML page.
    """

    def __init__(self, folder: Path, keep: tempfile.TemporaryDirectory | None):
        self._folder, self._keep = folder, keep
        self.findings: dict[str, Any] = json.loads((folder / "inspect.json").read_text())
        self.page = (folder / "report.html").read_text()

    def save(self, folder: str | PathLike[str]) -> None:
        """Copies page, numbers, pictures and charts into a folder."""
        shutil.copytree(self._folder, folder, dirs_exist_ok=True)

    def norms(self) -> dict[str, dict[int, float]]:
        """Median patch norm by subject and block."""
        at = 3  # of the quantiles 0, 0.05, 0.25, 0.5
        return {
            series["subject"]: {row["layer"]: row["quantiles"][at] for row in series["rows"]}
            for series in self.findings["depth"]
        }

    def __repr__(self) -> str:
        models = ", ".join(f"{subject} {name}" for subject, name in self.findings["models"])
        return f"Inspection({models}, {len(self.findings['images'])} images, layers {self.findings['layers']})"

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" title="{html.escape(repr(self))}" '
            'style="width:100%;height:720px;border:1px solid #8884"></iframe>'
        )


def inspect(
    subject: Model | Run | str | PathLike[str],
    images: Images,
    *,
    student: Model | None = None,
    layers: Sequence[int] = (),
    adapters: Adapters | str | PathLike[str] | None = None,
    refine: Sequence[Literal["closed", "neighbours", "registers", "averaged"]] = (),
    maps: Sequence[Literal["pca", "attention", "segments", "nearest"]] = (),
    inject: bool = False,
    limit: int = 16,
    device: str = "auto",
    out: str | PathLike[str] | None = None,
) -> Inspection:
    """Looks into a teacher, its refinement and its student: norms, outliers, similarities, spectra, drift.

    Parameters
    ----------
    subject : Model, Run, str or path
        A teacher, or a finished run with its teacher, adapters and student; a folder with a ``run.json`` is a run.
    images : str, path, list of them, or images in memory
        As in :func:`singer.fit`.
    student : Model, optional
        A teacher's student, on the same device.
    layers : sequence of int
        Blocks to look at, from 0; by default those of the run, or one in the middle and the last one.
    adapters : Adapters or path, optional
        A refinement to show beside the raw features.
    refine : sequence of str
        Other treatments to show, estimated on these images.
    maps : sequence of str
        Further maps: principal components as colours, attention by head, segments, nearest patches over all images.
    inject : bool
        Whether to put changed features back into the teacher, and measure what comes of it.
    limit : int
        Most images.
    device : str
        For models that are opened here.
    out : str or path, optional
        A folder that keeps the report.

    Returns
    -------
    Inspection
    """
    run = subject.folder if isinstance(subject, Run) else subject
    if isinstance(run, Model):
        of: Any = run._inner
    elif Path(run, "run.json").exists():
        of = fspath(run), device
    else:
        of = Model.open(run, device)._inner
    if isinstance(refine, str):
        raise SettingError(f"refine is {refine!r}: give a list")
    if isinstance(maps, str):
        raise SettingError(f"maps is {maps!r}: give a list")
    keep = tempfile.TemporaryDirectory(prefix="singer-") if out is None else None
    folder = Path(keep.name if keep else out)
    with Reporter(False, "inspecting") as report:
        _singer.inspect(
            of,
            student and student._inner,
            places(images),
            list(layers),
            _adapters(adapters),
            list(refine),
            list(maps),
            inject,
            limit,
            folder,
            report,
        )
    return Inspection(folder, keep)
