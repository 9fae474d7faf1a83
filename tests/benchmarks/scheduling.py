"""A sweep of many cells that do nothing: how long it is planned, how long it is scheduled, and in how much memory.

    python tests/benchmarks/scheduling.py [cells]

Half as many cells are beside it: what grows faster than the number of cells would show in the ratio.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from bench.experiment.grid import make_grid
from bench.experiment.launch import CellJob, Sweep, plan
from bench.experiment.pace import Pace
from bench.experiment.parts import Parts
from bench.experiment.presets import open_data
from bench.experiment.progress import Progress
from bench.experiment.seats import Heard, Seat, take_turns
from bench.spec import StrategySpec

STRATEGIES = ("none", "clean-twice", "mlm", "mate-kd", "eda", "freelb", "r-drop", "mixkd", "aeda", "finetune")
SEATS = 8


class Nothing(Seat):
    """A seat whose cells end at once."""

    def hand_over(self, order: bytes) -> None:
        """Take the order, which was pickled as for a real process."""

    def hear(self) -> Heard:
        """Return a record of nothing."""
        return {"status": "skipped", "reason": "", "number": self.number}

    def close(self) -> None:
        """Nothing is to be ended."""


class Quiet(Progress):
    """A display that shows nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


def sweep_of(count: int, results: Path) -> tuple[float, float]:
    """Return the seconds that planning and scheduling ``count`` cells take."""
    began = time.perf_counter()
    settings, source = open_data("mini", (), None)
    tasks = [task for task in source.tasks.values() if task.trained_on is None]
    specs = [StrategySpec.parse(name) for name in STRATEGIES]
    seeds = range(-(-count // (len(tasks) * len(specs))))
    cells = make_grid(settings, source, tasks, specs, seeds)[:count]
    parts = Parts(settings, source, results, Quiet())
    jobs = [CellJob(cell, parts) for cell in plan(cells, results, redo=False).missing]
    planned = time.perf_counter()
    seats = [Nothing(Quiet(), None) for _ in range(SEATS)]

    def free() -> list[Nothing]:
        return [seat for seat in seats if seat.number is None]

    def at_work() -> list[Nothing]:
        return [seat for seat in seats if seat.number is not None]

    sweep = Sweep(results, Quiet(), False, Pace(results))
    finished = take_turns(seats, free, at_work, jobs, sweep, 1)
    assert sum(1 for _ in finished) == count
    return planned - began, time.perf_counter() - planned


def main(count: int) -> None:
    """Print the figures of ``count`` cells beside those of half as many."""
    print(f"{'cells':>9} {'planned':>10} {'scheduled':>10} {'a cell':>9} {'peak':>9}")
    for cells in (count // 2, count):
        with tempfile.TemporaryDirectory() as folder:
            planned, scheduled = sweep_of(cells, Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{cells:9,} {planned:8.1f} s {scheduled:8.1f} s {1e3 * scheduled / cells:6.2f} ms {peak:6.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
