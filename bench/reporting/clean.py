"""What lies in a results folder that can be freed, how much room it takes, and freeing it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.files import is_unfinished
from bench.remote import mirror
from bench.reporting.records import STUDENT, scan
from bench.reporting.schema import Done

KINDS = {
    "checkpoints": "checkpoints of finished runs",
    "leftovers": "what killed processes left half-written, and what was set aside as damaged",
    "students": "students that runs keep; evaluating or exporting one again means training it again",
    "caches": "teachers, generators, tokenised and rewritten texts; made again when they are needed",
}
SAFE = ("checkpoints", "leftovers")
"""What no command will ever read again."""
_STILL_WRITING = 3600.0
"""Seconds since a half-written folder was last touched, below which somebody may be at it."""


@dataclass(frozen=True)
class Freeable:
    """A file or folder that can be freed."""

    kind: str
    path: Path
    size: int


def freeable(results: Path) -> list[Freeable]:
    """Return all that can be freed under ``results``, of every kind of ``KINDS``."""
    items = [Freeable(kind, path, size_of(path)) for kind, path in _places(results)]
    there = {item.path: item for item in items if item.size or item.path.exists()}
    for item in _elsewhere(results):
        if item.size >= there.get(item.path, item).size:
            there[item.path] = item
    return [*there.values()]


def _places(results: Path) -> Iterator[tuple[str, Path]]:
    done = {record.folder for record in scan(results)[0] if isinstance(record, Done)}
    for folder in sorted(done):
        for kind, name in (("checkpoints", "checkpoint"), ("students", STUDENT)):
            if (results / folder / name).is_dir():
                yield kind, results / folder / name
    cache = results / "cache"
    if cache.is_dir() and not cache.is_symlink():  # what a link leads to is not this folder's
        yield from (("caches", entry) for entry in sorted(cache.iterdir()) if not _is_leftover(entry))
    now = time.time()
    for root, folders, files in os.walk(results):
        for name in [*folders, *files]:
            path = Path(root, name)
            if _is_leftover(path) and (".corrupt-" in name or now - path.lstat().st_mtime > _STILL_WRITING):
                yield "leftovers", path
        folders[:] = [name for name in folders if not _is_leftover(Path(root, name))]


def _elsewhere(results: Path) -> Iterator[Freeable]:
    """Yield what the object store has, if ``results`` mirrors one, that is not or in part here."""
    if (there := mirror.of(results)) is None:
        return
    done = {record.folder for record in scan(results)[0] if isinstance(record, Done)}
    start, sizes = there.name(results), dict[tuple[str, str], int]()
    for name, entry in there.store.find(start).items():
        parts = name.removeprefix(start).lstrip("/").split("/")
        run, kind = "/".join(parts[:5]), {"checkpoint": "checkpoints", STUDENT: "students"}.get("".join(parts[5:6]))
        if kind is not None and run in done:
            place = kind, f"{run}/{parts[5]}"
        elif parts[0] == "cache" and len(parts) > 2:
            place = "caches", "/".join(parts[:2])
        else:
            continue
        sizes[place] = sizes.get(place, 0) + entry.size
    yield from (Freeable(kind, results / path, size) for (kind, path), size in sizes.items())


def _is_leftover(path: Path) -> bool:
    return is_unfinished(path) or ".corrupt-" in path.name


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links count as nothing."""
    if path.is_symlink():
        return 0
    if path.is_file():
        return path.stat().st_size
    sizes = 0
    for root, _, files in os.walk(path):
        sizes += sum(entry.stat().st_size for name in files if not (entry := Path(root, name)).is_symlink())
    return sizes


def free(item: Freeable) -> None:
    """Delete what ``item`` names; OSError where that is not allowed."""
    if item.path.is_dir() and not item.path.is_symlink():
        shutil.rmtree(item.path)
    elif item.path.exists():
        item.path.unlink()
    if (there := mirror.of(item.path)) is not None:
        there.drop(item.path)
