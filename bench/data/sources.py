"""Opening a source of rows, and listing what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.data.source import Source, differences
from bench.errors import BenchError, UsageError


def open_source(kind: str, data_dir: Path | None = None, seed: int = 0) -> Source:
    """Return the source of ``kind``, as settings name it: "folder" (``data_dir``), "hub", or "mini" (from ``seed``)."""
    if kind == "folder":
        from bench.data.glue import FolderSource

        if data_dir is None:
            raise UsageError("reading GLUE from a folder needs the folder: --data-dir DIR")
        return FolderSource(data_dir)
    if data_dir is not None:
        raise UsageError(f"a data folder ({data_dir}) was given, but the data source is {kind!r}")
    if kind == "hub":
        from bench.data.glue_hub import HubSource

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


def describe(source: Source, names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return one row for each task of ``source`` (or those ``names``), ready for JSON.

    ``error`` says why a task cannot be used there.
    """
    rows = []
    for name in source.tasks if names is None else names:
        task = source.tasks[name]
        counts: dict[str, int] = {}
        error = None
        try:
            counts = source.count(name)
        except BenchError as trouble:
            error = str(trouble)
        rows.append(
            {
                "name": name,
                "title": task.title,
                "about": task.about,
                "labels": list(task.labels),
                "metrics": list(task.metrics),
                "rows": counts,
                "official": {split: count for split, count in task.rows.items() if count is not None},
                "partial": bool(differences(task, counts)),
                "error": error,
            }
        )
    return rows
