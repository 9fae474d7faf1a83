"""The launcher ``slurm``: cells as an array of Slurm jobs, each of which takes cells until none are left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError, UsageError
from bench.experiment.cell import failed_record
from bench.experiment.cell_process import DIED, CellProcess, order_of, start_of
from bench.experiment.grid import Cell
from bench.experiment.launch import CellJob, Finished, Sweep
from bench.experiment.launcher_options import SlurmOptions
from bench.experiment.processes import GRACE_SECONDS
from bench.reporting.records import read_record

_LOOK_EVERY_SECONDS = 2.0
_SIGNAL_SECONDS_BEFORE_END = 90
_MOST_JOBS = 64


class Order(NamedTuple):
    """A cell and the orders to run it, as bytes: left to another job that is at it, or waiting for that.

    ``before`` is when the record was written that an earlier command left.
    """

    cell: Cell
    results: Path
    before: int | None
    at_once: bytes
    waiting: bytes

    def record(self) -> dict[str, Any] | None:
        """Return the cell's record, if it was written since."""
        folder = self.cell.folder(self.results)
        return None if written(folder) == self.before else read_record(folder)


def written(folder: Path) -> int | None:
    """Return when the record in ``folder`` was written, by the file system's own clock."""
    try:
        return (folder / "record.json").stat().st_mtime_ns
    except OSError:
        return None


@dataclass
class Share:
    """What each job of the array is: it takes cells that no other job has, one after another.

    Slurm's signal before the end of its time, or before it is preempted, has the cell in hand put away; the job is
    then queued again, and goes on with what is left.
    """

    start: bytes
    orders: Sequence[Order]
    process: CellProcess | None = None

    def __call__(self, number: int) -> int:
        """Take part as job ``number``, and return how many cells this job has run."""
        self.process, ran = CellProcess(self.start), 0
        first = number % len(self.orders)  # so that jobs that start at once do not all ask for the same
        in_turn = [*self.orders[first:], *self.orders[:first]]
        try:
            for wait in (False, True):
                # Those that another job was running come last; it may have died.
                for order in list(in_turn):
                    if (done := self._run(self.process, order, wait)) is not None:
                        ran += done
                        in_turn.remove(order)
        finally:
            self.process.close()
        return ran

    def _run(self, process: CellProcess, order: Order, wait: bool) -> bool | None:
        """Run a cell and return whether it was this job that did; None where another one is at it."""
        if order.record() is not None:
            return False
        process.send(order.waiting if wait else order.at_once)
        while True:
            kind, *what = process.hear()
            record = what[0] if kind == "record" else None
            if kind == DIED:
                process.close()
                record = failed_record(order.cell, order.results, what[0])
            if kind in ("note", DIED) or record is not None:
                said = what[0] if record is None else f"{order.cell}: {record['status']}"
                print(time.strftime("%H:%M:%S"), said, flush=True)
            if kind in ("record", DIED):
                return None if record is None else True

    def checkpoint(self, number: int) -> Any:
        """Put away what is in hand, and return what is to be queued again: submitit calls it at Slurm's signal."""
        import submitit

        if self.process is not None:
            self.process.terminate()
            self.process.wait(GRACE_SECONDS)
            self.process.close()
        return submitit.helpers.DelayedSubmission(Share(self.start, self.orders), number)


@dataclass(frozen=True)
class Slurm:
    """Runs jobs in an array of ``count`` Slurm jobs, by default one for each cell, 64 at most."""

    asked: SlurmOptions
    count: int | None = None

    def __call__(self, jobs: Sequence[CellJob], sweep: Sweep) -> Iterator[Finished]:
        """Run every one of ``jobs`` and yield what became of it, as it ends."""
        if sweep.redo:
            raise UsageError("--redo does not go with --launcher slurm: remove the runs first, or give --results DIR")
        ids = {job.cell.id for job in jobs}
        # What gets its budget from others' runs comes after them.
        second = {n for n, job in enumerate(jobs) if any(cell.id in ids for cell in job.cell.compared())}
        for numbers in (sorted(set(range(len(jobs))) - second), sorted(second)):
            if numbers:
                yield from self._array(jobs, numbers, sweep)

    def _array(self, jobs: Sequence[CellJob], numbers: Sequence[int], sweep: Sweep) -> Iterator[Finished]:
        began = time.monotonic()
        orders = {number: self._order(jobs[number], sweep) for number in numbers}
        share, count = Share(start_of(self.asked.cpus), [*orders.values()]), min(self.count or _MOST_JOBS, len(orders))
        submitted = self._submit(share, count, sweep.results.resolve() / "slurm")
        sweep.progress.note(f"{count} jobs take {len(orders)} cells; their logs: {submitted[0].paths.folder}")
        try:
            while orders:
                over = all(job.done() for job in submitted)
                for number, order in list(orders.items()):
                    record = order.record()
                    if record is None and over:
                        record = failed_record(order.cell, sweep.results, _last_words(submitted))
                    if record is not None:
                        del orders[number]
                        yield Finished(number, record, time.monotonic() - began)
                if orders:
                    states = Counter(str(job.state).lower() for job in submitted)
                    said = ", ".join(f"{count} {state}" for state, count in states.items())
                    sweep.progress.doing(f"{len(orders)} cells left; jobs: {said}")
                    time.sleep(_LOOK_EVERY_SECONDS)
        finally:
            for job in submitted if orders else ():
                job.cancel(check=False)

    def _order(self, job: CellJob, sweep: Sweep) -> Order:
        later, at_once = (order_of(job, sweep, self.asked.cpus, wait=wait) for wait in (True, False))
        before = written(job.cell.folder(sweep.results))
        return Order(replace(job.cell, known={}), sweep.results.resolve(), before, at_once, later)

    def _submit(self, share: Share, count: int, folder: Path) -> list[Any]:
        try:
            import submitit
        except ImportError:
            raise UsageError("--launcher slurm needs submitit: pip install 'distil-augment-bench[slurm]'") from None
        asked = self.asked
        try:
            executor = submitit.AutoExecutor(folder, cluster=asked.cluster, slurm_max_num_timeout=asked.requeues)
        except RuntimeError as error:
            raise BenchError(f"no Slurm here: {error}; run this where sbatch is") from error
        given = {"partition": asked.partition, "account": asked.account, "qos": asked.qos}
        executor.update_parameters(
            name="bench",
            timeout_min=asked.minutes,
            cpus_per_task=asked.cpus,
            gpus_per_node=asked.gpus,
            slurm_array_parallelism=count,
            slurm_signal_delay_s=_SIGNAL_SECONDS_BEFORE_END,
            slurm_additional_parameters={"requeue": True, **{key: value for key, value in given.items() if value}},
            **({"mem_gb": asked.memory_gb} if asked.memory_gb else {}),
        )
        return executor.map_array(share, range(count))


def _last_words(jobs: Sequence[Any]) -> str:
    """Return why ``jobs``, which are over, have left cells without a record."""
    for job in jobs:
        if (error := job.exception()) is not None:
            return f"the Slurm job {job.job_id} ended: {' '.join(str(error).split())[-300:]}"
    return "all Slurm jobs have ended without it"
