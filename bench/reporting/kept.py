"""Finding runs by their ids, and the students that they keep."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError, UsageError, printable
from bench.files import is_whole
from bench.observer import Observer, Silent
from bench.remote.mirror import shown
from bench.reporting.records import STUDENT, left_out, scan
from bench.reporting.schema import Done, Record

REMEDY = "train it again and keep it: the same bench run with --redo --keep-students all"


def find_run(results: Path, name: str, records: Sequence[Record] | None = None) -> Record:
    """Return the run of id ``name``, of which the first digits do, or in the folder ``name``; UsageError else.

    BenchError where its record is corrupt, or the folder has none.
    """
    corrupt: Sequence[tuple[Path, str]] = ()
    if records is None:
        records, corrupt = scan(results)
    folder = Path(name)
    if folder.is_dir():
        inside = {(results / record.folder).resolve(): record for record in records}
        if folder.resolve() in inside:
            return inside[folder.resolve()]
    matches = [record for record in records if name and record.id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        for path, reason in corrupt:
            if name and (name in path.parent.name or folder.resolve() == path.parent.resolve()):
                raise BenchError(left_out(path, reason))
        if name and folder.is_dir():
            raise BenchError(f"{folder} holds no record: no run is there, or it is not finished")
        raise UsageError(
            f"no run has the id {name!r} in {shown(results)}; ids end the folders' names there{_near(name, records)}"
        )
    listed = "\n".join(f"  {record.id}  {in_words(record)}" for record in matches[:10])
    raise UsageError(f"{len(matches)} runs have an id that begins with {name!r}:\n{listed}")


def _near(name: str, records: Sequence[Record]) -> str:
    """Return in words the runs whose ids, strategies or tasks are nearest to ``name``, of a few."""
    names = {record.id: record for record in records}
    near = [names[id] for id in difflib.get_close_matches(name, names, n=3, cutoff=0.5)]
    near = near or [record for record in records if name and name in (record.strategy, record.task)][:3]
    listed = "".join(f"\n  {record.id}  {in_words(record)}" for record in near)
    return f"; near it:{listed}" if near else ""


def in_words(record: Record) -> str:
    """Return what a run is, as tables call it."""
    return printable(f"{record.preset} · {record.task} · {record.strategy} · seed {record.seed}")


def student_of(results: Path, record: Record, observer: Observer | None = None) -> Path:
    """Return the folder of the run's student; BenchError says why there is none, and what to type."""
    folder = results / record.folder / STUDENT
    if isinstance(record, Done) and is_whole(folder, observer or Silent()):
        return folder
    raise BenchError(f"run {record.id} ({in_words(record)}) has no student: {_why_not(results, record)}; {REMEDY}")


def _why_not(results: Path, record: Record) -> str:
    if not isinstance(record, Done):
        return f"it {'failed' if record.status == 'failed' else 'was skipped'}: {record.reason}"
    if any((results / record.folder).glob(f"{STUDENT}.corrupt-*")):
        return "it is damaged, and was set aside"
    if record.student is None:
        return "it was made before students were kept"
    if record.student.kept:
        return "it has been freed since"
    return record.student.reason or "it was not kept"
