"""What a person sees while it runs: one calm line on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.errors import printable
from bench.observer import clock_time

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

_LINE_EVERY_SECONDS = 30.0
_BAR = 20
_GAP, _LONG_NAME = "  ", 32
_ORDER = ("where", "bar", "step", "loss", "score", "speed", "left")

Left = Callable[[str, float, float], "float | None"]
"""From the phase, its seconds left and its seconds per step, the seconds left of the whole grid, or None."""


class Progress:
    """An observer of runs. ``cell`` names what is being worked on; the rest comes from the training loop."""

    def __init__(
        self, live: Live | None = None, clock: Callable[[], float] = time.monotonic, scored: str = "dev"
    ) -> None:
        self._live, self._clock, self._scored = live, clock, scored
        self._where, self._score, self._model = "", "", ""
        self._left: Left | None = None
        self._start, self._first, self._last_line = 0.0, 0, clock()
        self._done, self._total = 0, 0
        self._parts: dict[str, str] = {"step": "starting"}
        self._seats: list[Progress] = []
        self._is_seat = False

    def seats(self, count: int) -> list[Progress]:
        """Return ``count`` observers of cells that run at once: a line each on the terminal, named in log lines."""
        self._seats = [Progress(self._live, self._clock) for _ in range(count)]
        for seat in self._seats:
            seat._is_seat = True
            seat.idle()
        return self._seats

    def idle(self) -> None:
        """Nothing is worked on here for now."""
        self._where, self._left = "", None
        self.doing("idle")

    def doing(self, what: str) -> None:
        """Say ``what`` is going on until the first step of something is counted."""
        self._model, self._total, self._parts = "", 0, {"step": what}
        if self._live is not None:
            self._live.refresh()

    def cell(self, number: int, of: int, name: str, left: Left | None = None) -> None:
        """Cell ``number`` of ``of`` begins; ``left`` says how long the whole grid will take from within it."""
        self._where, self._left = f"[{number}/{of}] {name}", left
        if self._live is None:
            self.note(self._where)
        self.doing("reading data and models")

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """``done`` of ``total`` steps are made; ``phase`` is what was just worked on."""
        # The student and its adversary take turns on one clock, which counts the student's updates.
        model = "student" if phase == "adversary" else phase
        if model != self._model or done < self._done:  # fewer than before: the next student's, or another attack
            self._model, self._score = model, ""
            self._start, self._first = self._clock(), done
        self._done, self._total = done, total
        seconds, steps = self._clock() - self._start, done - self._first
        self._parts = {"step": f"{model} {done:,}/{total:,}" + (" (adversary's turn)" if phase != model else "")}
        if loss is not None and phase == model:
            self._parts["loss"] = f"loss {loss:.3f}"
        self._parts["score"] = self._score
        if steps and seconds > 0:
            left = (total - done) * seconds / steps
            self._parts["speed"] = f"{steps / seconds:,.1f}/s"
            self._parts["left"] = f"{clock_time(left)} left"
            grid = None if self._left is None else self._left(model, left, seconds / steps)
            if grid is not None:
                self._parts["left"] += f", all {clock_time(grid)}"
        if self._live is None and self._clock() - self._last_line > _LINE_EVERY_SECONDS:
            self._last_line = self._clock()
            self.note(_GAP.join(filter(None, self._parts.values())))

    def evaluated(self, metric: str, value: float) -> None:
        """The model in training scored ``value`` on dev, or on what stands in its place."""
        self._score = f"{self._scored} {metric} {value:.3f}"

    def note(self, text: str) -> None:
        """Say ``text`` above the display, and keep it there; what a terminal would obey in it is spelled out."""
        text = printable(text)
        if self._is_seat and self._where and text != self._where:
            text = f"{self._where}: {text}"
        if self._live is not None:
            # A terminal breaks a long line itself, so that it is copied as one.
            self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the line, no wider than the terminal; of cells that run at once a line each."""
        if self._seats:
            yield from self._seats
            return
        from rich.progress_bar import ProgressBar
        from rich.segment import Segment

        parts = {"where": self._where, "bar": "-" * _BAR if self._total else "", **self._parts}
        for key, text in fitted({key: parts[key] for key in _ORDER if parts.get(key)}, options.max_width - 1).items():
            if key == "bar":
                bar = ProgressBar(total=self._total, completed=self._done, width=_BAR)
                yield from console.render(bar, options.update(width=_BAR))
                yield Segment(_GAP)
            else:
                yield Segment(text if key == "left" else text + _GAP)


def fitted(parts: dict[str, str], room: int) -> dict[str, str]:
    """Return what of ``parts`` fits into ``room`` characters; the time left is the last to go."""
    for dropped in (None, "bar", "loss", "score", "speed"):
        parts = {key: text for key, text in parts.items() if key != dropped}
        if dropped == "bar" and len(parts.get("where", "")) > _LONG_NAME:
            parts["where"] = parts["where"][: _LONG_NAME - 1] + "…"
        over = len(_GAP.join(parts.values())) - room
        if over <= 0:
            return parts
    where = parts.get("where", "")
    number = where[: where.find("]") + 1]
    short = where[: max(0, len(where) - over - 1)] + "…"
    for name in (short if len(short) > len(number) + 2 else number, number, ""):
        parts = {key: name if key == "where" else text for key, text in parts.items()}
        if len(_GAP.join(filter(None, parts.values()))) <= room:
            return {key: text for key, text in parts.items() if text}
    return {key: text[:room] for key, text in parts.items() if key == ("left" if "left" in parts else "step")}


@contextmanager
def watching(what: str = "loading libraries", scored: str = "dev") -> Iterator[Progress]:
    """Yield the observer to hand to whatever runs; its display ends with the block, and says ``what`` first.

    ``scored`` is what it calls the rows that students are scored on.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress(scored=scored)
        return
    from rich.live import Live

    with Live(console=console, transient=True, refresh_per_second=4) as live:
        progress = Progress(live, scored=scored)
        live.update(progress)
        progress.doing(what)
        yield progress
