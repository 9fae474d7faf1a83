"""Cells that run at once: whoever has a seat free takes the next, wherever the seats are."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from bench.experiment.cell import failed_record
from bench.experiment.cell_process import DIED, order_of, pickled
from bench.experiment.launch import CellJob, Finished, Sweep
from bench.experiment.progress import Progress
from bench.experiment.waiting import Queue
from bench.locks import WAITING

Heard = dict[str, Any] | Literal["more", "elsewhere", "lost"]
"""A cell's record; or "more" is to come; another command runs it; its machine was lost, and it is to run again."""


class Seat(ABC):
    """Runs one cell at a time in a process, here or elsewhere, and shows it by ``progress``.

    ``number`` is the cell that it has. A process from which nothing is heard for ``silence`` seconds has failed, unless
    it waits for another one.
    """

    def __init__(self, progress: Progress, silence: float | None) -> None:
        self.progress, self.silence = progress, silence
        self.number: int | None = None
        self.began = self._heard = time.monotonic()
        self._waits = False

    def send(self, number: int, job: CellJob, sweep: Sweep, rewriters: int, *, wait: bool) -> None:
        """Begin with ``job``; ``wait`` for another command that is running it."""
        self.number, self.job, self.sweep = number, job, sweep
        self.began = self._heard = time.monotonic()
        self._waits = wait
        self.hand_over(pickled(order_of(job, sweep, rewriters, wait=wait)))

    @abstractmethod
    def hand_over(self, order: bytes) -> None:
        """Give the order to the process."""

    @abstractmethod
    def hear(self) -> Heard:
        """Take one message; where there is none, the process has been silent for too long."""

    @abstractmethod
    def close(self) -> None:
        """End the process at once; the next order goes to a new one."""

    def rest(self) -> None:
        """Let go of what is taken up while idle, as there may be nothing left to do here."""
        self.close()

    def is_silent(self) -> bool:
        """Return whether nothing was heard for too long."""
        if self.silence is None or self.number is None or self._waits:
            return False
        return time.monotonic() > self._heard + self.silence

    def understand(self, kind: str, what: Sequence[Any]) -> Heard:
        """Return what a message means; of a process that died the cell has failed."""
        self._heard = time.monotonic()
        if kind == DIED:
            return self.failed(what[0])
        if kind == "record":
            return what[0] or "elsewhere"
        self._waits = kind == "note" and WAITING in what[0]
        getattr(self.progress, kind)(*what)
        return "more"

    def hung(self) -> Heard:
        """End a silent process, and return what became of its cell."""
        return self.failed(
            f"its process was ended: nothing was heard of it for {time.monotonic() - self._heard:.0f} s (--timeout)"
        )

    def failed(self, reason: str) -> Heard:
        """Return the record of a cell whose process is no more; of one that somebody else has, that it is elsewhere."""
        self.close()
        return failed_record(self.job.cell, self.sweep.results, reason) or "elsewhere"


def take_turns(
    seats: Sequence[Seat],
    ready: Callable[[], Sequence[Seat]],
    listen: Callable[[], Sequence[Seat]],
    jobs: Sequence[CellJob],
    sweep: Sweep,
    rewriters: int,
) -> Iterator[Finished]:
    """Run ``jobs`` on ``seats``, each with so many ``rewriters``, and yield what became of each, as it ends.

    ``ready`` returns the seats that may begin with a cell now; ``listen`` waits until some have something to tell, or
    were silent for too long, and returns them.
    """
    queue, begun = Queue(jobs), set[int]()
    afresh = replace(sweep, redo=False)
    while queue.unfinished:
        for one in ready():
            if (number := queue.next()) is None:
                # Who has nothing to do is not needed any more where all that is left runs.
                if len(queue.unfinished) <= sum(seat.number is not None for seat in seats):
                    one.rest()
                continue
            job = jobs[number]
            left = partial(_left, sweep, job, queue, len(seats))
            one.progress.cell(number + 1, len(jobs), str(job.cell), left)
            # One that is sent again goes on from its checkpoint, which --redo would remove.
            one.send(number, job, afresh if number in begun else sweep, rewriters, wait=queue.waits(number))
        for one in listen():
            if (heard := one.hear()) == "more":
                if one.number is not None:
                    begun.add(one.number)
                continue
            assert one.number is not None
            number, one.number = one.number, None
            one.progress.idle()
            if heard == "lost":
                queue.again(number)
            elif heard == "elsewhere":
                queue.later(number)
            else:
                queue.done(number)
                yield Finished(number, heard, time.monotonic() - one.began)


def _left(
    sweep: Sweep, job: CellJob, queue: Queue, count: int, phase: str, left: float, per_step: float
) -> float | None:
    """Return the seconds left of the grid, what waits shared by ``count`` seats."""
    total = sweep.pace.left(job, queue.remaining, phase, left, per_step)
    return None if total is None else left + (total - left) / count
