"""A results folder as frames: the tidy frame of its runs, and what their students predicted."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.reporting.records import run_folder, scan
from bench.reporting.schema import record_of
from bench.reporting.tidy import tidy

if TYPE_CHECKING:
    import pandas as pd


def results(folder: str | os.PathLike[str] = "results") -> pd.DataFrame:
    """Return every run in ``folder`` as the tidy frame that ``tidy`` describes, in the order of their folders.

    A corrupt record is moved to ``aside`` in ``folder``, with a warning. BenchError where there are no results.
    """
    records, corrupt = scan(Path(folder))
    for path, reason in corrupt:
        warnings.warn(f"corrupt record {path}: {reason}", stacklevel=2)
    return tidy(records)


def written(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the tidy frame of ``records`` as ``run_cell`` hands them on, in plain numbers."""
    read = [record_of(record) for record in records]
    for record in read:
        folder = run_folder(Path(), record.preset, record.task, record.strategy, record.seed, record.id)
        record.folder = folder.as_posix()
    return tidy(read)
