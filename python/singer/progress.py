"""How long work is reported: a tqdm bar, or a function of the caller."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Union

#: True for a bar, False for silence, a function that is called with each event, or several of these.
Progress = Union[bool, Callable[[dict], Any], Sequence[Union[bool, Callable[[dict], Any]]]]


class Reporter:
    """Hears events as JSON; a context manager, so that a bar ends with the work."""

    def __init__(self, progress: Progress, title: str):
        wanted = progress if isinstance(progress, Sequence) else [progress]
        self._calls = [one for one in wanted if callable(one)]
        self._show, self._title, self._bar = any(one is True for one in wanted), title, None

    def __call__(self, text: str) -> None:
        event = json.loads(text)
        for call in self._calls:
            call(event)
        if self._show:
            self._draw(event)

    def _draw(self, event: dict) -> None:
        with warnings.catch_warnings():
            # Without ipywidgets a notebook gets a bar of text, which will do.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
        kind = event["event"]
        if kind == "passed_over":
            tqdm.write(event["message"])
            return
        if kind == "start":
            return
        blocks = kind == "closed_form"
        total, done = (event["blocks"], event["done"]) if blocks else (event["steps"], event["step"])
        title, unit = ("looking for artifacts", "block") if blocks else (self._title, "step")
        if self._bar is None or self._bar.unit != unit:
            self.close()
            self._bar = tqdm(total=total, desc=title, unit=unit)
        if "loss" in event:
            self._bar.set_postfix(loss=f"{event['loss']:.4f}", refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
