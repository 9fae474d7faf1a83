"""Where rows come from: what every source offers, opening one, and listing what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.data.tasks import Example, Task
from bench.errors import BenchError, UsageError, unknown

KINDS = ("mini", "folder", "hub")


@dataclass(frozen=True)
class TaskData:
    """The rows of one task: ``splits`` maps train, dev, dev_mismatched, test, test_mismatched to examples.

    ``source`` is "mini", "folder", "hub" or "file"; ``fingerprint`` is 16 hex digits of the content.
    """

    task: Task
    splits: dict[str, list[Example]]
    source: str
    fingerprint: str

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows of every split found."""
        return {split: len(examples) for split, examples in self.splits.items()}

    @property
    def partial(self) -> dict[str, tuple[int, int]]:
        """Splits found whose row count is not the official one: split -> (found, official)."""
        return differences(self.task, self.rows)


class Source(Protocol):
    """A place that tasks can be loaded from."""

    name: str
    tasks: Mapping[str, Task]

    def load(self, task: str) -> TaskData:
        """Return every split of ``task`` that is there; train and dev must be (AX: test)."""
        ...

    def fingerprint(self, task: str) -> str:
        """Return 16 hex digits that change with the content of ``task``."""
        ...

    def count(self, task: str) -> dict[str, int]:
        """Return the number of rows of every split of ``task`` that is there."""
        ...


def open_source(kind: str, data_dir: Path | None = None, seed: int = 0) -> Source:
    """Return the source of ``kind``: "mini" (generated from ``seed``), "folder" (``data_dir``) or "hub"."""
    if kind not in KINDS:
        raise unknown("data source", kind, KINDS)
    if kind == "folder":
        from bench.data.glue import FolderSource

        if data_dir is None:
            raise UsageError("reading GLUE from a folder needs the folder: --data-dir DIR")
        return FolderSource(data_dir)
    if data_dir is not None:
        raise UsageError(f"a data folder ({data_dir}) was given, but the data source is {kind!r}")
    if kind == "hub":
        from bench.data.hub import HubSource

        return HubSource()
    from bench.data.mini import MiniSource

    return MiniSource(seed=seed)


def at_hand(source: Source, task: str) -> bool:
    """Return whether ``source`` has files of ``task``; a hub that cannot be reached is an error, not a no."""
    try:
        source.count(task)
    except UsageError:
        return False
    return True


def differences(task: Task, found: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return, for the splits found whose size is not the official one, (found, official)."""
    return {
        split: (count, official)
        for split, count in found.items()
        if (official := task.rows.get(split)) is not None and official != count
    }


def describe(source: Source) -> list[dict[str, Any]]:
    """Return one row a task of ``source``, ready for JSON; ``error`` says why a task cannot be used there."""
    rows = []
    for name, task in source.tasks.items():
        found: dict[str, int] = {}
        error = None
        try:
            found = source.count(name)
        except BenchError as trouble:
            error = str(trouble)
        rows.append(
            {
                "name": name,
                "title": task.title,
                "about": task.about,
                "labels": list(task.labels),
                "metrics": list(task.metrics),
                "rows": found,
                "official": {split: count for split, count in task.rows.items() if count is not None},
                "partial": bool(differences(task, found)),
                "error": error,
            }
        )
    return rows
