"""Worker processes that rewrite rows: started fresh, stopped by their CPU time, replaced when they die."""

from __future__ import annotations

import contextlib
import math
import pickle
import signal
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

from bench.child import Child, attend
from bench.errors import BenchError, UsageError
from bench.registry import import_file, imported_files
from bench.rewriting.job import Job, Row, RowResult, in_a_line

ENVIRONMENT = {
    # WordNet synonyms, among others, come in the order of a set of strings.
    "PYTHONHASHSEED": "0",
    # Another number of threads is another order of summation; and there is a process for every core already.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

START_SECONDS = 300.0
"""The CPU time a worker may take to import what it needs, and again to load models in its first call."""

HUNG_AFTER = 20.0
"""A worker hangs if its work lasts this many times the CPU time it may take: no machine is that busy."""

CHUNK_SECONDS = 4.0
"""About how long a worker is at the rows that it is given at once; they are lost when it is killed."""

_ROWS_AT_ONCE, _MOST_ROWS = 32, 128


def in_this_process(job: Job, todo: Sequence[Row]) -> Generator[tuple[int, RowResult], None, None]:
    """Yield (row, what became of it) in order. Nothing can be done here about a row that never ends."""
    for start in [0, *range(1, len(todo), _ROWS_AT_ONCE)] if todo else []:
        results = job.rewrite(todo[start : start + _ROWS_AT_ONCE if start else 1])
        if start == 0:
            results[0].seconds = None
        yield from enumerate(results, start)


def in_workers(
    job: Job,
    todo: Sequence[Row],
    count: int,
    row_seconds: float,
    chunk_seconds: float = CHUNK_SECONDS,
    pool: Pool | None = None,
) -> Generator[tuple[int, RowResult], None, None]:
    """Yield (row, what became of it) as ``count`` processes finish them; close the generator to end the processes.

    Processes come from ``pool`` and go back there, if there is one. Rows go out in chunks of about ``chunk_seconds``.
    A worker that dies, hangs, or takes more CPU time than ``row_seconds`` is
    replaced and the rows of its chunk go out one by one; a row that loses a worker alone has failed for this time.
    BenchError where a worker cannot even start.
    """
    payload = _pickled(job)
    waiting, alone = deque(range(len(todo))), deque[int]()
    workers: list[_Worker] = []
    size, loading = 1, START_SECONDS
    try:
        while waiting or alone or any(worker.rows for worker in workers):
            at_work = sum(bool(worker.rows) for worker in workers)
            while len(workers) < min(count, at_work + len(waiting) + len(alone)):
                workers.append(_Worker(payload) if pool is None else pool.take(payload))
            for worker in workers:
                if not worker.busy and (waiting or alone):
                    # The first call loads models, so one row tells how long that takes. Towards the end chunks
                    # shrink, so that no worker is left with a long one.
                    share = math.ceil(len(waiting) / (2 * count))
                    most = 1 if alone or worker.first else min(size, share)
                    rows = [(alone or waiting).popleft() for _ in range(most)]
                    seconds = row_seconds + loading * worker.first
                    worker.send(pickle.dumps((seconds, [todo[row] for row in rows])), rows, seconds)
            wait([worker.connection for worker in workers if worker.busy], timeout=1.0)
            for worker in list(workers):
                rows, took = worker.rows, time.monotonic() - worker.since
                try:
                    results = worker.answer()
                except _LostError as lost:
                    workers.remove(worker)
                    worker.kill()
                    if not worker.started:
                        raise BenchError(f"{job.name} cannot start in a worker process: {lost}") from None
                    if len(rows) == 1:
                        yield rows[0], RowResult(failed=str(lost), seconds=None if worker.first else took, final=False)
                    else:
                        alone.extend(rows)
                    continue
                if results and worker.first:
                    results[0].seconds, worker.first = None, False
                    slowest = 4 * worker.cpu_seconds
                    loading = slowest if loading == START_SECONDS else max(loading, slowest)
                if results:
                    size = _next_size(size, len(rows), took, min(chunk_seconds, row_seconds / 4))
                    yield from zip(rows, results, strict=True)
    finally:
        for worker in workers:
            if pool is None or worker.rows:
                worker.kill()
            else:
                pool.keep(worker)


def _next_size(size: int, rows: int, took: float, aim: float) -> int:
    """Return how many rows to hand out next, after ``rows`` (of ``size`` wanted) took ``took`` seconds, not ``aim``."""
    if took > aim:
        return max(1, size // 2)
    return min(2 * size, _MOST_ROWS) if rows == size and took < aim / 2 else size


class Pool:
    """Worker processes that go from one job to the next, so that libraries are imported once; a ``with`` ends them."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._idle:
            worker.kill()
        self._idle = []

    def take(self, payload: bytes) -> _Worker:
        """Return a worker at the job in ``payload``: one that is kept, else a new one."""
        while self._idle:
            worker = self._idle.pop(0)
            if worker.is_alive():
                worker.begin(payload)
                return worker
            worker.kill()
        return _Worker(payload)

    def keep(self, worker: _Worker) -> None:
        """Take back a worker that has no rows."""
        self._idle.append(worker)


class _LostError(Exception):
    """A worker process is dead, hangs or cannot start; the message says how."""


class _Worker(Child):
    """One process from this side: ``busy`` starting, or with its ``rows``; ``first`` until it has done some."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(work, START_SECONDS, environment=ENVIRONMENT)
        self.cpu_seconds, self._unanswered = 0.0, 0
        self.begin(payload)

    def begin(self, payload: bytes) -> None:
        """Set it to the job in ``payload``."""
        self.started, self.first = False, True
        self.send(payload, [], START_SECONDS)

    def send(self, message: bytes, rows: list[int], seconds: float) -> None:
        """Hand out ``message``: ``rows`` to be done, or the job, in ``seconds`` of CPU time."""
        self.busy, self.rows, self._seconds, self.since = True, rows, seconds, time.monotonic()
        self._unanswered += 1
        self.tell(message)

    def answer(self) -> list[RowResult]:
        """Return what became of its rows, as far as it has answered: nothing while it is at work or idle.

        Raises _LostError, and the BenchError that stopped it.
        """
        try:
            if self.connection.poll():
                answer, self.cpu_seconds = self.connection.recv()
                self._unanswered -= 1
                if self._unanswered:  # of the job before, which ended while it was starting
                    return []
                if isinstance(answer, BenchError):
                    raise answer
                if isinstance(answer, str):
                    raise _LostError(answer)
                self.busy, self.rows, self.started = False, [], True
                return answer
        except (EOFError, OSError):
            self._process.wait(timeout=60)
        if not self.is_alive():
            code, how, last = self.last_words()
            if code == -signal.SIGPROF:
                raise _LostError(f"ran out of {self._seconds:.3g} s of CPU time")
            raise _LostError(f"the worker process died ({how})" + (f": {last}" if last else ""))
        if self.busy and time.monotonic() > self.since + HUNG_AFTER * self._seconds:
            raise _LostError(f"hung: no answer in {HUNG_AFTER * self._seconds:.3g} s")
        return []


def _pickled(job: Job) -> bytes:
    """Return ``job`` as bytes, behind the strategies' files that its classes may be written in."""
    context = replace(job.context, models=dict(job.context.models), digests=dict(job.context.digests))
    try:
        if type(job.rewriter).__module__ == "__main__":
            raise pickle.PicklingError("its class is in the main script, which they do not run")
        return pickle.dumps((imported_files(), pickle.dumps(replace(job, context=context))))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BenchError(
            f"{job.name} cannot be sent to a worker process ({error}); put the class in a file and name it "
            "./file.py:Class"
        ) from error


def work(handle: int, start_seconds: float) -> None:
    """What a worker process does: unpickle the job, then rewrite what is sent until nothing is.

    The kernel counts its CPU time (user and system, all threads) and kills it by SIGPROF at the limit, whatever
    library it is in.
    """
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, start_seconds)
    connection = attend(handle)
    answer: list[RowResult] | BenchError | str
    job: Job | None = None
    with contextlib.suppress(EOFError):
        while True:
            # The first of a message is what the second may take, or for a job the files that it may need.
            given, todo = connection.recv()
            start = time.process_time()
            if isinstance(todo, bytes):
                signal.setitimer(signal.ITIMER_PROF, start_seconds)
                job, answer = _unpickled(given, todo)
            else:
                assert job is not None
                signal.setitimer(signal.ITIMER_PROF, given)
                try:
                    answer = job.rewrite(todo)
                except BenchError as error:
                    answer = (UsageError if isinstance(error, UsageError) else BenchError)(str(error))
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send((answer, time.process_time() - start))


def _unpickled(files: Sequence[Path], pickled: bytes) -> tuple[Job | None, list[RowResult] | str]:
    """Return the job in ``pickled`` with the answer that all is well, or what is wrong, which the parent raises."""
    try:
        for file in files:
            import_file(file)
        return pickle.loads(pickled), []
    except Exception as error:  # noqa: BLE001 - raised in the parent
        return None, in_a_line(error)
