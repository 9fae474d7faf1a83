"""What a person sees while it runs: one calm display on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LINE_EVERY_SECONDS = 30.0


class Progress:
    """An observer of runs. ``cell`` names what is being worked on; the rest comes from the training loop."""

    def __init__(self, show: Any = None, task: Any = None) -> None:
        self._show, self._task = show, task
        self._where, self._score, self._model = "", "", ""
        self._start, self._first, self._last_line = 0.0, 0, time.monotonic()

    def cell(self, number: int, of: int, name: str) -> None:
        """Cell ``number`` of ``of`` begins."""
        self._where, self._model = f"[{number}/{of}] {name}", ""
        if self._show is None:
            self.note(self._where)

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """``done`` of ``total`` steps are made; ``phase`` is what was just worked on."""
        # The student and its adversary take turns on one clock; another model starts a new one.
        model = "student" if phase == "adversary" else phase
        if model != self._model or done < self._first:
            self._model, self._score = model, ""
            self._start, self._first = time.monotonic(), done
        seconds = time.monotonic() - self._start
        speed = (done - self._first) / seconds if seconds > 0 else 0.0
        left = f"{_clock((total - done) / speed)} left" if speed else ""
        text = f"{phase} {done:,}/{total:,}" + ("" if loss is None else f"  loss {loss:.3f}")
        text += f"{self._score}  {speed:,.1f}/s  {left}"
        if self._show is not None:
            self._show.update(self._task, description=self._where, text=text, completed=done, total=total)
        elif time.monotonic() - self._last_line > _LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self.note(text)

    def evaluated(self, metric: str, value: float) -> None:
        """The model in training scored ``value`` on dev."""
        self._score = f"  dev {metric} {value:.3f}"

    def note(self, text: str) -> None:
        """Say ``text`` above the display, and keep it there."""
        if self._show is not None:
            self._show.console.print(text, highlight=False, markup=False)
        else:
            print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@contextmanager
def watching() -> Iterator[Progress]:
    """Yield the observer to hand to whatever runs; its display ends with the block."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress()
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Display

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[text]}"))
    with Display(*columns, console=console, transient=True) as show:
        yield Progress(show, show.add_task("", total=None, text="starting"))
