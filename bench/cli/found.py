"""A run that a command line names: by the first digits of its id, or by its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.reporting.schema import Record


class Found(NamedTuple):
    """A run: its folder, its record as JSON holds it, and the same checked and typed."""

    folder: Path
    tree: dict[str, Any]
    record: Record


def found(results: Path, name: str) -> Found:
    """Return the run ``name`` of ``results``; UsageError for an id that no run or several have, naming what is near.

    A folder may be of any results. BenchError where its record is corrupt, or there is none yet.
    """
    from bench.reporting.kept import find_run
    from bench.reporting.records import read_record
    from bench.reporting.schema import record_of

    folder = Path(name).parent if Path(name).name == "record.json" else Path(name)
    if not (name and (folder / "record.json").is_file()):
        folder = results / find_run(results, name).folder
    tree = read_record(folder)
    if tree is None:
        raise BenchError(f"{folder} holds no record: the run is not finished")
    return Found(folder, tree, record_of(tree))


def title(run: Found) -> str:
    """Return a run in a line."""
    from bench.errors import printable
    from bench.reporting.kept import in_words

    return printable(f"{run.record.id}  {in_words(run.record)}")
