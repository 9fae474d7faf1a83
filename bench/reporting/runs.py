"""A results folder as frames: the tidy frame of its runs, and what their students predicted."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError, unknown
from bench.remote.mirror import folder_of
from bench.reporting.leaderboard import failures, leaderboard
from bench.reporting.predictions import answers, predicted
from bench.reporting.records import left_out, run_folder, scan
from bench.reporting.schema import record_of
from bench.reporting.tidy import tidy

if TYPE_CHECKING:
    import pandas as pd

    from bench.reporting.comparison import Comparison


def results(folder: str | os.PathLike[str] = "results") -> pd.DataFrame:
    """Return every run in ``folder`` as the tidy frame that ``tidy`` describes, in the order of their folders.

    A corrupt record is moved to ``aside`` in ``folder``, with a warning. BenchError where there are no results.
    """
    return _scanned(folder_of(folder))


def predictions(
    folder: str | os.PathLike[str] = "results",
    ids: Collection[str] | None = None,
    splits: Collection[str] | None = None,
    *,
    logits: bool = False,
) -> pd.DataFrame:
    """Return what the students of the runs in ``folder`` predicted, as the frame that ``predicted`` describes.

    ``ids`` names runs by the ``id`` of their records, ``splits`` what they predicted; all if not given. A file
    that does not match its record is left out with a warning that names it. UsageError for an id that no run has.
    """
    runs = _scanned(folder_of(folder))
    for name, given in (("ids", ids), ("splits", splits)):
        if isinstance(given, str):
            raise UsageError(f"{name} is the text {given!r}; give a list: {name}=[{given!r}]")
    if ids is not None:
        known = set(runs["id"])
        for id in ids:
            if id not in known:
                raise unknown("run", id, known)
        runs = runs[runs["id"].isin(list(ids))]
    frame, wrong = predicted(folder_of(folder), runs, splits, logits=logits)
    for path, reason in wrong:
        warnings.warn(f"predictions left out, {path}: {reason}", stacklevel=2)
    return frame


def compare(folder: str | os.PathLike[str] = "results", baseline: str = "none") -> list[Comparison]:
    """Return what ``bench compare`` shows of ``folder``: a comparison per preset, gains with intervals and verdicts.

    ``tasks``, ``strategies`` and ``pairwise`` of each are frames. UsageError where no run is of ``baseline``.
    """
    from bench.reporting.comparison import compare as compared

    runs = _scanned(folder_of(folder))
    frame = leaderboard(runs, baseline)
    predictions, wrong = answers(folder_of(folder), runs, {*frame["split"]})
    for path, reason in wrong:
        warnings.warn(f"predictions left out, {path}: {reason}", stacklevel=2)
    return compared(frame, predictions, baseline, failures(runs))


def _scanned(folder: Path) -> pd.DataFrame:
    records, corrupt = scan(folder)
    for path, reason in corrupt:
        warnings.warn(left_out(path, reason), stacklevel=3)
    return tidy(records)


def written(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the tidy frame of ``records`` as ``run_cell`` hands them on, in plain numbers."""
    read = [record_of(record) for record in records]
    for record in read:
        folder = run_folder(Path(), record.preset, record.task, record.strategy, record.seed, record.id)
        record.folder = folder.as_posix()
    return tidy(read)
