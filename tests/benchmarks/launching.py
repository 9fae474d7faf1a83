"""A sweep of `mini` cells by each launcher, of one worker and of two: what a second one gains, what a launcher costs.

    python tests/benchmarks/launching.py [--cells 8] [--epochs 8] [--task cola] [--launchers processes ray slurm]

All sweeps are of the same cells (plain distillation, one seed each) on one thread a worker, with the teacher made
before. When a cell began and ended is read from the files that it writes first and last, which are the same ones
under every launcher. What lies between the cells of a worker is the launcher's: so is the wait at the end, where one
worker has nothing left to do. The start is what passes before the first cell: libraries imported, and Ray started.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from bench.experiment.grid import Cell, make_grid
from bench.experiment.launch import CellJob, launch
from bench.experiment.launchers import Launching
from bench.experiment.parts import Parts
from bench.experiment.presets import open_data
from bench.experiment.processes import Processes
from bench.experiment.progress import Progress
from bench.spec import StrategySpec

LAUNCHERS = {"processes": "processes", "ray": "ray", "slurm": "slurm[cluster=local,minutes=5]"}


class Quiet(Progress):
    """A display that shows nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def seats(self, count: int) -> list[Progress]:
        """Return as many that show nothing."""
        return [Quiet() for _ in range(count)]


class Timed(NamedTuple):
    """Seconds of a sweep: in all, to its first cell, from there to the end of its last, and the cells' own."""

    whole: float
    start: float
    working: float
    cells: list[float]

    def beyond(self, workers: int) -> float:
        """Return the seconds that ``workers`` spent in no cell, for each cell, without the start."""
        return (workers * self.working - sum(self.cells)) / len(self.cells)


def grid(results: Path, task: str, seeds: Sequence[int], epochs: float) -> list[CellJob]:
    """Return the cells of ``seeds``."""
    settings, source = open_data("mini", [f"recipe.epochs={epochs:g}"], None)
    cells = make_grid(settings, source, [source.tasks[task]], [StrategySpec.parse("none")], seeds)
    parts = Parts(settings, source, results, Quiet())
    return [CellJob(cell, parts) for cell in cells]


def timed(jobs: Sequence[CellJob], results: Path, launcher: Any) -> Timed:
    """Run ``jobs`` by ``launcher``, None for this process, and return the seconds."""
    began, on_the_clock = time.time(), time.perf_counter()
    records = launch(jobs, results, Quiet(), launcher=launcher)
    whole = time.perf_counter() - on_the_clock
    assert [record["status"] for record in records] == ["done"] * len(jobs)
    spans = [_span(job.cell, results) for job in jobs]
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    return Timed(whole, first - began, last - first, [end - start for start, end in spans])


def _span(cell: Cell, results: Path) -> tuple[float, float]:
    """Return when ``cell`` began and ended, by the file system's clock."""
    start, end = (cell.folder(results) / name for name in ("spec.json", "record.json"))
    return start.stat().st_mtime, end.stat().st_mtime


def launchers(named: Sequence[str]) -> list[tuple[str, str, int, Any]]:
    """Return the sweeps to time: family, name, workers, launcher."""
    rows: list[tuple[str, str, int, Any]] = [("", "in this process", 1, None)]
    for name in named:
        for workers in (1, 2):
            launching = Launching(LAUNCHERS[name], workers)
            # --jobs 1 is this process; a process of its own shows what that costs.
            launcher = Processes(1) if name == "processes" and workers == 1 else launching.open()
            rows.append((name, f"{name}, {workers}", workers, launcher))
    return rows


def main() -> None:
    """Print a line for each sweep, then what a second worker gains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--task", default="cola")
    parser.add_argument("--launchers", nargs="*", default=list(LAUNCHERS), choices=LAUNCHERS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{asked.cells} cells of {asked.task}, {asked.epochs:g} epochs; seconds (a cell: the median)")
    print(f"{'launcher, workers':<18}{'in all':>8}{'start':>8}{'after it':>10}{'a cell':>9}{'beyond it, per cell':>21}")
    found: dict[str, list[Timed]] = {}
    with tempfile.TemporaryDirectory() as home:
        made = Path(home, "made")
        timed(grid(made, asked.task, [asked.cells], asked.epochs), made, None)
        for family, name, workers, launcher in launchers(asked.launchers):
            results = Path(home, name.replace(", ", "-").replace(" ", "-"))
            shutil.copytree(made / "cache", results / "cache")
            got = timed(grid(results, asked.task, range(asked.cells), asked.epochs), results, launcher)
            found.setdefault(family, []).append(got)
            print(
                f"{name:<18}{got.whole:8.1f}{got.start:8.1f}{got.working:10.1f}{median(got.cells):9.2f}"
                f"{got.beyond(workers):21.2f}",
                flush=True,
            )
    (alone,) = found.pop("")
    print("\none worker's time over two's, with the start and without it")
    for family, (one, two) in found.items():
        print(f"{family:<18}{one.whole / two.whole:8.2f}{one.working / two.working:18.2f}")
        if family == "processes":
            print(f"{'(over --jobs 1)':<18}{alone.whole / two.whole:8.2f}{alone.working / two.working:18.2f}")


if __name__ == "__main__":
    main()
