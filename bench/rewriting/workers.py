"""Worker processes that rewrite rows: started fresh, watched, killed when they hang, replaced when they die."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import pickle
import random
import re
import signal
import sys
import tempfile
import threading
import time
import types
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from bench.data.tasks import Example
from bench.errors import BenchError, UsageError
from bench.strategy import Attacked, Context, Forms, Strategy

ENVIRONMENT = {
    # WordNet synonyms, among others, come in the order of a set of strings.
    "PYTHONHASHSEED": "0",
    # Another number of threads is another order of summation; and there is a process for every core already.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

START_SECONDS = 300.0
"""How long a worker may take to import what it needs, and again to load models in its first call."""

_CHUNK_SECONDS, _MOST_ROWS = 4.0, 128
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


@dataclass
class Made:
    """What became of one row: its forms, or why it has ``failed``.

    ``seconds`` is the time that took; None in a process's first call, which also imports libraries and loads models.
    """

    forms: Forms = field(default_factory=list)
    outcome: str | None = None
    queries: int = 0
    seconds: float | None = None
    failed: str | None = None


@dataclass
class Job:
    """What to do with rows, wherever that is done: everything a row's rewrite depends on besides the row."""

    strategy: Strategy
    context: Context
    seed: int
    edition: int

    @property
    def name(self) -> str:
        """The strategy as messages call it."""
        return self.strategy.spec or type(self.strategy).__name__

    def rewrite(self, examples: Sequence[Example]) -> list[Made]:
        """Return what the strategy makes of each example; where it raises, the rows are asked one by one.

        BenchError is not a row's but the whole work's failure, as is a wrong number of rows, forms or texts.
        """
        start = time.perf_counter()
        # A function of the texts alone: neither a row's place nor who rewrites it may matter.
        rngs = [random.Random(json.dumps([self.seed, self.edition, *example.texts])) for example in examples]
        try:
            made = list(self.strategy.rewrite(examples, rngs, self.context))
        except BenchError:
            raise
        except Exception as error:  # noqa: BLE001 - recorded with the row and shown; the next row may be fine
            if len(examples) == 1:
                return [Made(failed=_in_a_line(error), seconds=time.perf_counter() - start)]
            return [row for example in examples for row in self.rewrite([example])]
        if len(made) != len(examples):
            raise BenchError(
                f"{self.name}: rewrite() returned {len(made)} rows of {len(examples)}, example {examples[0].id} on"
            )
        seconds = (time.perf_counter() - start) / len(examples)
        return [self._checked(example, result, seconds) for example, result in zip(examples, made, strict=True)]

    def _checked(self, example: Example, result: Any, seconds: float) -> Made:
        told = result if isinstance(result, Attacked) else Attacked(result, "")
        forms = told.forms if isinstance(told.forms, list | tuple) else [told.forms]
        wanted = len(example.texts)
        wrong = [form for form in forms if not isinstance(form, list | tuple) or len(form) != wanted]
        if not forms or wrong or not all(isinstance(text, str) for form in forms for text in form):
            raise BenchError(
                f"{self.name}: rewrite() made {told.forms!r:.300} of example {example.id}; every row needs a list of "
                f"forms, each a tuple of {wanted} text{'s' * (wanted > 1)}"
            )
        # Plain strings: a library's own kind of text could not be read without it.
        plain = [tuple(map(str, form)) for form in forms]
        if any(_HALF_A_PAIR.search(text) for form in plain for text in form):
            return Made(failed="its rewrite is no Unicode text (half a surrogate pair)", seconds=seconds)
        return Made(plain, told.outcome or None, told.queries, seconds)


def in_this_process(
    job: Job, examples: Sequence[Example], row_seconds: float
) -> Generator[tuple[int, Made], None, None]:
    """Yield (row, what became of it) in order. Nothing can be done here about a row that never ends."""
    row, size = 0, 1
    while row < len(examples):
        start = time.monotonic()
        made = job.rewrite(examples[row : row + size])
        if row == 0:
            made[0].seconds = None
        size = _next_size(size, len(made), time.monotonic() - start, row_seconds)
        yield from enumerate(made, start=row)
        row += len(made)


def in_workers(
    job: Job, examples: Sequence[Example], count: int, row_seconds: float
) -> Generator[tuple[int, Made], None, None]:
    """Yield (row, what became of it) as ``count`` processes finish them; close the generator to end the processes.

    Rows go out in chunks that take a few seconds. A worker that dies, or takes longer than ``row_seconds``, is
    killed and replaced and the rows of its chunk go out one by one; a row that fails so alone has failed.
    BenchError where a worker cannot even start.
    """
    payload = _packed(job)
    waiting, alone = deque(range(len(examples))), deque[int]()
    workers: list[_Worker] = []
    size, slowest_first = 1, None
    try:
        while waiting or alone or any(worker.rows for worker in workers):
            busy = sum(bool(worker.rows) for worker in workers)
            while len(workers) < min(count, busy + len(waiting) + len(alone)):
                workers.append(_Worker(job, payload))
            for worker in workers:
                if not worker.ready or worker.rows or not (waiting or alone):
                    continue
                # The first call loads models, so one row tells how long that takes. Towards the end chunks
                # shrink, so that no worker is left with a long one.
                share = math.ceil(len(waiting) / (2 * count))
                most = 1 if alone or worker.first else min(size, share)
                queue = alone or waiting
                rows = [queue.popleft() for _ in range(most)]
                load = START_SECONDS if slowest_first is None else 4 * slowest_first
                worker.send(rows, [examples[row] for row in rows], row_seconds + load * worker.first)
            soonest = min(worker.deadline for worker in workers)
            timeout = min(60.0, max(0.0, soonest - time.monotonic()))
            wait([end for worker in workers for end in worker.ends], timeout)
            for worker in list(workers):
                kind, told = worker.news()
                if kind == "made":
                    rows, took = worker.rows, time.monotonic() - worker.since
                    if worker.first:
                        slowest_first = max(slowest_first or 0.0, took)
                        told[0].seconds = None
                    size = _next_size(size, len(rows), took, row_seconds)
                    worker.rows, worker.first, worker.deadline = [], False, math.inf
                    yield from zip(rows, told, strict=True)
                elif kind == "stop":
                    raise (UsageError if told[0] else BenchError)(told[1])
                elif kind == "cannot start":
                    raise BenchError(f"{job.name} cannot start in a worker process: {told}")
                elif kind == "lost":
                    workers.remove(worker)
                    rows, took = worker.rows, time.monotonic() - worker.since
                    worker.kill()
                    if not worker.ready:
                        raise BenchError(f"{job.name} cannot start in a worker process: {told}")
                    if len(rows) == 1:
                        yield rows[0], Made(failed=told, seconds=None if worker.first else took)
                    else:
                        alone.extend(rows)
    finally:
        for worker in workers:
            worker.kill()


def _next_size(size: int, rows: int, took: float, row_seconds: float) -> int:
    """Return how many rows to hand out next, after ``rows`` (of ``size`` wanted) took ``took`` seconds."""
    aim = min(_CHUNK_SECONDS, row_seconds / 4)
    if took > aim:
        return max(1, size // 2)
    return min(2 * size, _MOST_ROWS) if rows == size and took < aim / 2 else size


class _Worker:
    """One process from this side. ``rows`` is what it works on, to be done by ``deadline``."""

    def __init__(self, job: Job, payload: bytes) -> None:
        # What libraries print would tear the progress display; the last line says why a process died.
        self._log = tempfile.NamedTemporaryFile(prefix="bench-worker-")  # noqa: SIM115 - closed in kill()
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(theirs, payload, self._log.name), daemon=True)
        with _started_clean(needs_main=type(job.strategy).__module__ == "__main__"):
            self._process.start()
        theirs.close()
        self.ends = (self._connection, self._process.sentinel)
        self.ready, self.first, self.rows = False, True, list[int]()
        self.since = time.monotonic()
        self._allowed = START_SECONDS
        self.deadline = self.since + self._allowed

    def send(self, rows: list[int], examples: Sequence[Example], seconds: float) -> None:
        """Hand out ``rows``, to be done in ``seconds``."""
        self.rows, self.since, self._allowed = rows, time.monotonic(), seconds
        self.deadline = self.since + seconds
        # A process that is dead already is noticed when it is next asked for news.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(examples)

    def news(self) -> tuple[str, Any]:
        """Return (kind, what it sent) or, of a process that is dead or late, ("lost", why)."""
        try:
            if self._connection.poll():
                kind, told = self._connection.recv()
                if kind == "ready":
                    self.ready, self.deadline = True, math.inf
                return kind, told
        except (EOFError, OSError):
            return "lost", self._last_words()
        if not self._process.is_alive():
            return "lost", self._last_words()
        if time.monotonic() >= self.deadline:
            return "lost", f"took longer than {self._allowed:.3g} s"
        return "none", None

    def _last_words(self) -> str:
        self._process.join(timeout=5)
        code = self._process.exitcode
        how = f"exit code {code}" if code is None or code >= 0 else signal.Signals(-code).name
        lines = self._log.read().decode(errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"the worker process died ({how})" + (f": {last:.200}" if last else "")

    def kill(self) -> None:
        """End the process, and those that a library started from it."""
        if hasattr(os, "killpg"):
            assert self._process.pid is not None
            with contextlib.suppress(ProcessLookupError):  # it has not come as far as having a group
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join(timeout=10)
        self._connection.close()
        self._log.close()


@contextlib.contextmanager
def _started_clean(*, needs_main: bool) -> Iterator[None]:
    """Have a process that starts meanwhile find ``ENVIRONMENT``, and run this one's main script only if it has to."""
    before = {key: os.environ.get(key) for key in ENVIRONMENT}
    main = sys.modules["__main__"]
    os.environ.update(ENVIRONMENT)
    if not needs_main:
        # Workers would run it again, to the point where it starts workers if it has no __name__ == "__main__".
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _packed(job: Job) -> bytes:
    """Return ``job`` as bytes; a strategy with a ``spec`` goes as that, since its class may be in no module."""
    task = job.context.task
    # Task's own defaults are read-only mappings, which cannot be pickled.
    task = replace(task, rows=dict(task.rows), submission=dict(task.submission))
    context = replace(job.context, task=task, models=dict(job.context.models), digests=dict(job.context.digests))
    try:
        return pickle.dumps((job.strategy.spec or job.strategy, context, job.seed, job.edition))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BenchError(
            f"{job.name} cannot be sent to a worker process ({error}); put the class in a file and name it "
            "./file.py:Class"
        ) from error


def _work(connection: Connection, payload: bytes, log: str) -> None:
    """What a worker process does: make the strategy, then rewrite what is sent until nothing is."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C is for the parent, which then kills the group
    threading.Thread(target=_end_with_parent, args=(log,), daemon=True).start()
    handle = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    try:
        from bench.spec import StrategySpec

        strategy, *rest = pickle.loads(payload)
        job = Job(StrategySpec.parse(strategy).create() if isinstance(strategy, str) else strategy, *rest)
    except Exception as error:  # noqa: BLE001 - raised in the parent
        connection.send(("cannot start", _in_a_line(error)))
        return
    connection.send(("ready", None))
    with contextlib.suppress(EOFError):
        while True:
            examples = connection.recv()
            try:
                connection.send(("made", job.rewrite(examples)))
            except BenchError as error:
                connection.send(("stop", (isinstance(error, UsageError), str(error))))


def _end_with_parent(log: str) -> None:
    """End this process group when the parent is gone, however that came about."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    Path(log).unlink(missing_ok=True)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _in_a_line(error: BaseException) -> str:
    if isinstance(error, BenchError):
        return str(error)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text:.300}" if text else type(error).__name__
