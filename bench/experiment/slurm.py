"""The launcher ``slurm``: cells as an array of Slurm jobs, each of which takes cells until none are left."""

from __future__ import annotations

import contextlib
import pickle
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.child import last_line
from bench.errors import BenchError, UsageError
from bench.experiment.cell import failed_record
from bench.experiment.cell_process import DIED, CellProcess, order_of, pickled, start_of
from bench.experiment.launch import CellJob, Finished, Sweep, stays
from bench.experiment.launcher_options import SlurmOptions
from bench.experiment.processes import GRACE_SECONDS
from bench.experiment.worker import Order
from bench.remote.mirror import of, shown
from bench.reporting.records import read_record

_LOOK_EVERY_SECONDS = 2.0
_SIGNAL_SECONDS_BEFORE_END = 90
_SEEN_AFTER_SECONDS = 60.0
"""How long a file may be there before a network file system shows it to another machine."""
_MOST_JOBS = 64


class Todo(NamedTuple):
    """The order to run a cell, its folder, and when the record was written that an earlier command left of it."""

    order: Order
    folder: Path
    before: int | None

    def record(self) -> dict[str, Any] | None:
        """Return the cell's record, if it was written since; one that cannot be read is still to be made."""
        if _written(self.folder) == self.before:
            return None
        with contextlib.suppress(BenchError):
            return read_record(self.folder)
        return None


def _written(folder: Path) -> int | None:
    """Return when the record in ``folder`` was written, by the file system's own clock."""
    try:
        return (folder / "record.json").stat().st_mtime_ns
    except OSError:
        return None


@dataclass
class Share:
    """What each job of the array is: it takes cells that no other job has, one after another, until none are left.

    Slurm's signal before the end of its time has the cell in hand put away; the job is then queued again, and goes on
    with what is left. ``work`` is the list of ``Todo`` pickled as a whole, in which what cells have in common is there
    once.
    """

    start: bytes
    work: bytes
    process: CellProcess | None = None

    def __call__(self, number: int) -> int:
        """Take part as job ``number``, and return how many cells this job has run."""
        self.process = CellProcess(self.start)
        work: list[Todo] = pickle.loads(self.work)
        first = number % len(work)  # so that jobs that start at once do not all ask for the same
        try:
            return sum(self._run(self.process, todo) for todo in [*work[first:], *work[:first]])
        finally:
            self.process.kill()

    def _run(self, process: CellProcess, todo: Todo) -> bool:
        """Run a cell and return True; False where it has been run, or another job is at it."""
        if todo.record() is not None:
            return False
        cell = todo.order.cell
        process.send(pickled(todo.order))
        while True:
            kind, *what = process.hear()
            record = what[0] if kind == "record" else None
            if kind == DIED:
                if what[1] in (0, -signal.SIGTERM):
                    time.sleep(_SIGNAL_SECONDS_BEFORE_END)  # told to, it has put the cell away: this job ends, too
                process.kill()
                record = failed_record(cell, todo.order.results, what[0])
            if kind == "note" or record is not None:
                line = what[0] if record is None else f"{cell}: {record['status']}"
                print(time.strftime("%H:%M:%S"), line, flush=True)
            if kind in ("record", DIED):
                return record is not None

    def checkpoint(self, number: int) -> Any:
        """Put away what is in hand, and return what is to be queued again: submitit calls it at Slurm's signal."""
        import submitit

        if self.process is not None:
            self.process.terminate()
            self.process.wait(_SIGNAL_SECONDS_BEFORE_END - GRACE_SECONDS)
            self.process.kill()
        return submitit.helpers.DelayedSubmission(Share(self.start, self.work), number)


@dataclass(frozen=True)
class Slurm:
    """Runs jobs in an array of ``count`` Slurm jobs, by default one for each cell, 64 at most.

    What an array leaves without a record, as its job was lost for good, gets one more array, and fails then.
    """

    asked: SlurmOptions
    count: int | None = None

    def __call__(self, jobs: Sequence[CellJob], sweep: Sweep) -> Iterator[Finished]:
        """Run every one of ``jobs`` and yield what became of it, as it ends."""
        if of(sweep.results) is not None:
            raise UsageError(
                f"--launcher slurm does not go with --results {shown(sweep.results)}: its machines share storage, so "
                f"give --results DIR there"
            )
        if sweep.redo:
            raise UsageError("--redo does not go with --launcher slurm: remove the runs first, or give --results DIR")
        ids = {job.cell.id for job in jobs}
        # What gets its budget from others' runs comes after them.
        second = {n for n, job in enumerate(jobs) if any(cell.id in ids for cell in job.cell.compared())}
        for numbers in (sorted(set(range(len(jobs))) - second), sorted(second)):
            left, began = {number: jobs[number] for number in numbers}, time.monotonic()
            for last in (False, True):
                if left:
                    for number, record in self._array(left, sweep, last):
                        del left[number]
                        yield Finished(number, record, time.monotonic() - began)

    def _array(self, jobs: Mapping[int, CellJob], sweep: Sweep, last: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        """Submit an array and yield the number and record of each of ``jobs`` that gets one."""
        work = self.todo(jobs, sweep)
        count = min(self.count or _MOST_JOBS, len(work))
        # submitit reads pickles that jobs leave there: what somebody else has put into the results is none of them.
        folder = sweep.results.resolve() / "slurm" / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(mode=0o700, parents=True)
        submitted = self.submit([*work.values()], count, folder)
        sweep.progress.note(f"{count} jobs take {len(work)} cells; their logs: {submitted[0].paths.folder}")
        over: float | None = None
        try:
            while work:
                for number, todo in list(work.items()):
                    if (record := todo.record()) is not None:
                        del work[number]
                        yield number, record
                if over is not None and time.monotonic() > over + _SEEN_AFTER_SECONDS:
                    break
                if work:
                    states = Counter(str(job.state).lower() for job in submitted)
                    counts = ", ".join(f"{count} {state}" for state, count in states.items())
                    sweep.progress.doing(f"{len(work)} cells left; jobs: {counts}")
                    time.sleep(_LOOK_EVERY_SECONDS)
                if over is None and all(job.done() for job in submitted):
                    over = time.monotonic()
        finally:
            for job in submitted:
                if not job.done():
                    job.cancel(check=False)
                job.paths.submitted_pickle.unlink(missing_ok=True)
        if work and last:
            reason = _last_words(submitted)
            for number, todo in work.items():
                record = failed_record(todo.order.cell, sweep.results, reason, wait=True)
                assert record is not None  # storage that is shared has no leases to lose
                yield number, record

    def todo(self, jobs: Mapping[int, CellJob], sweep: Sweep) -> dict[int, Todo]:
        """Return what the jobs of the array are told of each cell."""
        # Elsewhere, too, the results folder has this name.
        elsewhere, known = replace(sweep, results=sweep.results.resolve()), dict[Any, Any]()
        todos = {}
        for number, job in jobs.items():
            folder = job.cell.folder(elsewhere.results)
            record = None
            with contextlib.suppress(BenchError):
                record = read_record(folder)
            # One that another command has made meanwhile counts as this one's.
            before = None if record and stays(record["status"], job.cell) else _written(folder)
            todos[number] = Todo(order_of(job, elsewhere, self.asked.cpus, known=known), folder, before)
        return todos

    def submit(self, work: Sequence[Todo], count: int, folder: Path) -> list[Any]:
        """Submit an array of ``count`` jobs that share ``work``, with their files in ``folder``; return submitit's."""
        import submitit

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
        share = Share(start_of(asked.cpus), pickled(list(work)))
        try:
            return executor.map_array(share, range(count))
        except RuntimeError as error:
            raise BenchError(f"Slurm refused the jobs: {' '.join(str(error).split()):.500}") from error


def _last_words(jobs: Sequence[Any]) -> str:
    """Return why ``jobs``, which are over, have left cells without a record."""
    for job in jobs:
        if last := last_line(job.stderr() or ""):
            return f"the Slurm job {job.job_id} ended: {' '.join(last.split())[-300:]}"
    return "all Slurm jobs have ended without it"
