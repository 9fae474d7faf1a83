"""The launcher of ``--jobs N``: N cells at a time on this machine, each in a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from bench.experiment.cell_process import CellProcess, start_of
from bench.experiment.launch import CellJob, Finished, Sweep
from bench.experiment.progress import Progress
from bench.experiment.seats import Heard, Seat, take_turns

GRACE_SECONDS = 20.0
"""How long a cell may take to put away what it has in hand when all end."""


@dataclass(frozen=True)
class Processes:
    """Runs jobs in ``count`` processes, each for one cell after another, its threads an equal share of this process's.

    A process that dies, or from which nothing is heard for ``silence`` seconds, fails the cell that it had, and is
    replaced. All end with this process, however it ends.
    """

    count: int
    silence: float | None = None

    def __call__(self, jobs: Sequence[CellJob], sweep: Sweep) -> Iterator[Finished]:
        """Run every one of ``jobs`` and yield what became of it, as it ends."""
        import torch

        count = min(self.count, len(jobs))
        start = start_of(max(1, torch.get_num_threads() // count))
        rewriters = max(1, (os.cpu_count() or 1) // count)
        seats = list[_Seat]()

        def ready() -> list[_Seat]:
            return [one for one in seats if one.number is None]

        def listen() -> list[_Seat]:
            at_work = {one.process.connection: one for one in seats if one.number is not None}
            waiting: list[Any] = list(at_work)
            spoke = [at_work[each] for each in wait(waiting, self.silence)]  # type: ignore[index]  # one of those given
            return spoke + [one for one in at_work.values() if one not in spoke and one.is_silent()]

        try:
            seats += (_Seat(start, progress, self.silence) for progress in sweep.progress.seats(count))
            yield from take_turns(seats, ready, listen, jobs, sweep, rewriters)
        finally:
            _end(seats)


class _Seat(Seat):
    """A process on this machine with the cell that it has."""

    def __init__(self, start: bytes, progress: Progress, silence: float | None) -> None:
        super().__init__(progress, silence)
        self.process = CellProcess(start)

    def hand_over(self, order: bytes) -> None:
        self.process.send(order)

    def hear(self) -> Heard:
        if not self.process.connection.poll():
            return self.hung()
        kind, *what = self.process.hear()
        return self.understand(kind, what)

    def close(self) -> None:
        self.process.kill()


def _end(seats: Sequence[_Seat]) -> None:
    """End all processes: those at work may put away what they have in hand, and none outlives a while."""
    at_work = [one.process for one in seats if one.number is not None]
    for process in at_work:
        process.terminate()
    until = time.monotonic() + GRACE_SECONDS
    for process in at_work:
        process.wait(until - time.monotonic())
    for one in seats:
        one.close()
