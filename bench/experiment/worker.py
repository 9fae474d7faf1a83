"""A process that runs cells: takes them one by one from the process that started it, and tells how they go."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.child import attend
from bench.registry import import_file
from bench.startup import collect_seldom

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from bench.data.source import Source
    from bench.experiment.grid import Cell
    from bench.settings import Settings

_TELL_EVERY_SECONDS = 0.25


class Start(NamedTuple):
    """What a worker is told first: strategies' files to import, the command line, its number of threads, its folder.

    That is the working folder of the command, to which what it names is relative.
    """

    files: list[Path]
    argv: list[str]
    threads: int
    folder: Path


class Order(NamedTuple):
    """A cell to run. Of one number of ``parts`` all cells are made of the same, which is made of it once.

    ``id`` is the cell's when it was planned.
    """

    cell: Cell
    id: str
    parts: int
    made_of: tuple[Settings, Source, Path, int | None]
    results: Path
    keep: bool
    redo: bool
    track: str | None
    wait: bool


class Told:
    """An observer whose words go to the process that shows them, of a training's steps a few in a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._last = connection, ("", 0.0)

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """Pass the step on: the first of a phase, the last, and some between."""
        now = time.monotonic()
        if phase != self._last[0] or now - self._last[1] > _TELL_EVERY_SECONDS or done == total:
            self._last = (phase, now)
            self._connection.send(("update", phase, done, total, loss))

    def evaluated(self, metric: str, value: float) -> None:
        """Pass the score on."""
        self._connection.send(("evaluated", metric, value))

    def note(self, text: str) -> None:
        """Pass the note on."""
        self._connection.send(("note", text))


def serve(handle: int) -> None:
    """Run the cells that are sent until nothing is; SIGTERM ends it between two steps, as Ctrl-C would."""
    collect_seldom()
    connection = attend(handle)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm's, to the whole tree on some clusters
    try:
        start: Start = pickle.loads(connection.recv_bytes())
        sys.argv[:] = start.argv
        os.chdir(start.folder)
        for file in start.files:
            import_file(file)
        import torch

        from bench.experiment.launch import CellJob, run_job
        from bench.experiment.parts import Parts

        torch.set_num_threads(start.threads)
        observer, known = Told(connection), {}
        while True:
            order: Order = pickle.loads(connection.recv_bytes())
            if order.cell.id != order.id:
                raise SystemExit(f"the code or files of {order.cell} are not what they were when this run was planned")
            if order.parts not in known:
                settings, source, results, workers = order.made_of
                known[order.parts] = Parts(settings, source, results, observer, workers)
            job = CellJob(order.cell, known[order.parts], order.keep)
            record = run_job(job, order.results, observer, redo=order.redo, track=order.track, wait=order.wait)
            connection.send(("record", record))
    except (EOFError, KeyboardInterrupt):
        # Not through the interpreter's end, which takes seconds with the libraries loaded: nothing is left to do.
        os._exit(0)


def read_only(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    """Return a read-only view of ``content``, as sources have of their tasks: pickle knows no such views."""
    return MappingProxyType(content)
