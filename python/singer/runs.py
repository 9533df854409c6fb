"""Whole runs: a teacher's artifacts found, adapters fitted, a student distilled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from . import _singer
from .errors import DataError, SettingError
from .images import Images, places
from .model import Model, _adapters
from .progress import Progress, Reporter


class Adapters:
    """A teacher's refinement by block: a closed form, or trained adapters.

    Attributes
    ----------
    found : dict
        Of a closed form that was estimated here: the number of ``images``, and ``blocks`` with the rank, the share of
        patches and of class tokens that are refined, each.
    """

    def __init__(self, inner: _singer.Adapters, found: dict | None = None):
        self._inner, self.found = inner, found

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Adapters:
        """Those of a file of ``singer fit``, or of a run's ``singer.safetensors``."""
        return cls(_singer.Adapters.open(fspath(path)))

    @property
    def layers(self) -> list[int]:
        """The teacher's blocks that have one, ascending."""
        return self._inner.layers

    @property
    def is_closed(self) -> bool:
        """Whether they are a closed form, which is not trained."""
        return self._inner.is_closed

    def save(self, path: str | PathLike[str]) -> None:
        """Writes them into a safetensors file, for ``singer distill --adapters`` and :mod:`singer.torch`."""
        self._inner.save(fspath(path))

    def __repr__(self) -> str:
        kind = "closed form" if self.is_closed else "adapters"
        if not self.layers:
            return f"Adapters({kind}, no artifacts found)"
        lines = [f"Adapters({kind} of blocks {', '.join(map(str, self.layers))})"]
        for block in (self.found or {}).get("blocks", []):
            rank, share = block["rank"], 100 * block["refined"]
            directions = f"{rank} direction{'s' if rank > 1 else ''}"
            lines.append(f"  block {block['block']}: {directions}, {share:.2f} % of the patches")
        return "\n".join(lines)


def fit(
    teacher: Model | str | PathLike[str],
    images: Images,
    kind: Literal["closed", "published", "trained"] = "closed",
    *,
    layers: Sequence[int] = (),
    rank: int = 64,
    steps: int = 300,
    limit: int | None = None,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    progress: Progress = True,
) -> Adapters:
    """Finds a teacher's artifacts and what removes them, without labels and without a student.

    Parameters
    ----------
    teacher : Model or str
        The teacher, or what :meth:`Model.open` takes.
    images : str, path, list of them, or images in memory
        Places as ``singer fit --data`` takes them, or images as :meth:`Model.features` does.
    kind : {"closed", "published", "trained"}
        ``closed`` needs no training; the others train adapters by the paper's losses, or by robust ones.
    layers : sequence of int
        Blocks to train adapters for, from 0; the last one is always added.
    rank, steps : int
        Of adapters that are trained.
    limit : int, optional
        Most images; 256 for the closed form, 1024 else.
    device : str
        For a teacher that is opened here.
    settings : mapping, optional
        Any other setting by its name: of the section ``closed`` in docs/settings.md, or of ``FitSettings``.
    progress : bool, callable or sequence of these
        True for a bar, False for silence, or a function that hears each event as a dictionary.

    Returns
    -------
    Adapters
        For :func:`distill`, :meth:`Model.features` and :meth:`Adapters.save`.
    """
    model = teacher if isinstance(teacher, Model) else Model.open(teacher, device)
    wanted = dict(settings or {})
    if limit is not None:
        wanted["images"] = limit
    with Reporter(progress, "fitting") as report:
        if kind == "closed":
            inner, found = _singer.closed_form(model._inner, places(images), json.dumps(wanted), report)
            return Adapters(inner, json.loads(found))
        if kind not in ("published", "trained"):
            raise SettingError(f"kind is {kind!r}: use 'closed', 'published' or 'trained'")
        singer = {"layers": list(layers), "rank": rank, **wanted.pop("singer", {})}
        wanted = {"steps": steps, **wanted, "singer": singer}
        return Adapters(_singer.fit(model._inner, places(images), json.dumps(wanted), kind == "trained", report))


def distill(
    teacher: Model | str | PathLike[str] | None,
    student: str | Mapping[str, Any],
    images: Images,
    out: str | PathLike[str],
    *,
    layers: Sequence[int] = (),
    method: str = "singer",
    refine: str | None = None,
    adapters: Adapters | str | PathLike[str] | None = None,
    val: str | Sequence[str] | None = None,
    batch: int = 64,
    epochs: float | None = None,
    steps: int | None = None,
    lr: float | None = None,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = True,
) -> Run:
    """Distils a student from a teacher's refined features, as ``singer distill`` does.

    The work goes on without the GIL. At Ctrl-C, or where ``progress`` raises, the run stops after its step and saves;
    ``resume=True`` goes on with it.

    Parameters
    ----------
    teacher : Model, str or None
        The teacher, or what :meth:`Model.open` takes; None for ``method="none"``. A run whose teacher is named knows it
        later, for :func:`inspect`.
    student : str or mapping
        timm's name, or a mapping of the section ``student`` in docs/settings.md. Its image and patch size follow the
        teacher's.
    images : str, path, list of them, or images in memory
        Places as ``singer distill --data`` takes them, or images as :meth:`Model.features` does.
    out : str or path
        The run's folder.
    layers : sequence of int
        The teacher's intermediate blocks to learn from, from 0; the last one is always added.
    method, refine : str
        As ``--method`` and ``--refine`` of the program.
    adapters : Adapters or path, optional
        What :func:`fit` gave; a closed form is used as it is, and trained ones are where training starts.
    val : str or list of str, optional
        Images to measure on at the end.
    batch, epochs, steps, lr, size, seed
        As the program's flags; epochs are 100 and lr is 1e-3 by default.
    device, precision : str
        Where and in what products are computed.
    resume : bool
        Whether to go on from the folder's checkpoint.
    settings : mapping, optional
        Any other key of docs/settings.md, nested as in the file, or with points: ``{"train.log_every": 1}``.
    progress : bool, callable or sequence of these
        True for a bar, False for silence, or a function that hears each event as a dictionary: ``start``, ``closed_form``,
        ``step`` (with ``loss``, its terms, ``lr``, ``images_per_second``, ``waiting``, ``eta`` in seconds), ``passed_over``.

    Returns
    -------
    Run

    Raises
    ------
    SettingError, DataError, ModelError, DeviceError, NotFiniteError
    KeyboardInterrupt
        At Ctrl-C, once the run is saved.
    """
    model = teacher if isinstance(teacher, Model) else None
    config: dict[str, Any] = {"seed": seed, "device": device, "precision": precision, "out": fspath(out)}
    config |= {"method": method, "refine": refine}
    config["teacher"] = {"weights": model._reference if model else None if teacher is None else fspath(teacher)}
    config["student"] = {"arch": student} if isinstance(student, str) else dict(student)
    config["train"] = {"batch": batch, "steps": steps} | ({} if epochs is None else {"epochs": epochs})
    config["singer"] = {"layers": list(layers)}
    config["optimizer"] = {"name": "adamw"} | ({} if lr is None else {"lr": lr})
    if size is not None:
        config["teacher"]["img_size"] = config["student"]["img_size"] = size
    given, data = places(images), {}
    if isinstance(given, list):
        data["path"] = given
    if val is not None:
        data["val"] = val
    config["data"] = data
    for key, value in (settings or {}).items():
        _insert(config, key, value)
    if "schedule" in config:
        config["schedule"].setdefault("name", "cosine")
    with Reporter(progress, "distilling") as report:
        in_memory = None if isinstance(given, list) else given
        folder = _singer.distill(
            json.dumps(config), model and model._inner, in_memory, _adapters(adapters), resume, report
        )
    return Run(folder, device)


def _insert(config: dict[str, Any], key: str, value: Any) -> None:
    """Sets a key with points; mappings are laid over what is there."""
    *sections, last = key.split(".")
    for section in sections:
        config = config.setdefault(section, {})
    if isinstance(value, Mapping):
        inner = config.setdefault(last, {})
        for name, one in value.items():
            _insert(inner, name, one)
    else:
        config[last] = value


class Run:
    """A finished distillation.

    Parameters
    ----------
    folder : str or path
        The run's folder.
    device : str
        Where :attr:`student` is opened.
    """

    def __init__(self, folder: str | PathLike[str], device: str = "auto"):
        self.folder, self._device = Path(folder), device
        try:
            self._record = json.loads((self.folder / "run.json").read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder}: not the folder of a finished run ({error})") from error
        self._student: Model | None = None

    @property
    def student(self) -> Model:
        """The student; its exports carry a model card of the run."""
        if self._student is None:
            self._student = Model.open(self.folder, self._device)
        return self._student

    @property
    def adapters(self) -> Adapters | None:
        """The teacher's refinement; None where nothing was refined."""
        path = self.folder / "singer.safetensors"
        if not path.exists():
            return None
        found = Adapters.open(path)
        return found if found.layers else None

    @property
    def config(self) -> dict[str, Any]:
        """The settings."""
        return self._record["config"]

    @property
    def measurements(self) -> dict[str, Any]:
        """What was measured: patch norms before and after, losses of the first and last step, accuracy."""
        return self._record["result"]

    @property
    def metrics(self) -> list[dict[str, float]]:
        """Each step's loss, its terms and learning rate."""
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]

    def __repr__(self) -> str:
        last = (self.measurements or {}).get("last") or {}
        loss = f", loss {last['loss']:.4f} after {last['step']} steps" if last else ""
        return f"Run({str(self.folder)!r}{loss})"
