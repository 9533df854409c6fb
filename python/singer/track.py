"""Trackers for :func:`singer.distill` and :func:`singer.fit`: W&B and trackio.

A tracker hears the progress and passes it on; with ``progress=[True, tracker]`` there is a bar too. Nothing is sent
anywhere unless a tracker is given. ``singer distill --track`` writes TensorBoard's files and speaks to MLflow.
"""

from __future__ import annotations

import warnings
from typing import Any

__all__ = ["trackio", "wandb"]


class Tracker:
    """Hears the events of a training and logs them to a module with ``init``, ``log`` and ``finish``."""

    def __init__(self, module: Any, arguments: dict[str, Any]):
        self._run = module.init(**arguments)
        self._finish = module.finish
        self._warned = False

    @property
    def run(self) -> Any:
        """The tracker's own run, for what else is to be logged."""
        return self._run

    def __call__(self, event: dict) -> None:
        try:
            self._hear(event)
        except Exception as error:
            # A tracker that fails is no reason to stop a training.
            if not self._warned:
                warnings.warn(f"tracking failed, training goes on: {error}", stacklevel=2)
            self._warned = True

    def _hear(self, event: dict) -> None:
        if event["event"] == "start":
            self._run.config.update({key: value for key, value in event.items() if key != "event"})
        elif event["event"] == "step":
            numbers = {key: value for key, value in event.items() if key not in ("event", "step", "steps", "eta")}
            self._run.log(numbers, step=event["step"])

    def finish(self) -> None:
        """Ends the run."""
        self._finish()

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()


def wandb(**arguments: Any) -> Tracker:
    """A tracker by Weights & Biases.

    Parameters
    ----------
    **arguments
        Those of ``wandb.init``: ``project``, ``name``, ``mode="offline"``; for a resumed run ``id`` and
        ``resume="must"``.
    """
    import wandb as module

    return Tracker(module, arguments)


def trackio(**arguments: Any) -> Tracker:
    """A tracker by trackio, which keeps its runs on this machine.

    Parameters
    ----------
    **arguments
        Those of ``trackio.init``: ``project``, ``name``.
    """
    import trackio as module

    return Tracker(module, arguments)
