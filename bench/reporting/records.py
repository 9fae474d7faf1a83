"""Where runs live on disk: their folders, their records, and a scan over all of them."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.files import digest
from bench.remote import mirror
from bench.reporting.schema import NewerError, Record, parse

RUNS, ASIDE = "runs", "aside"
STUDENT = "student"
"""The folder, in that of a run, of its student where that is kept."""
EVALUATIONS = "evaluations"
"""The folder, in that of a run, of what its student scores beyond its own dev."""
_LONGEST_NAME = 80
_LARGEST = 16 * 2**20
"""Bytes of a record that is still read; ordinary ones have some ten thousand."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python from looking for circles of objects: records have none, and with many it is most of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def run_folder(results: Path, preset: str, task: str, strategy: str, seed: int, id: str) -> Path:
    """Return the folder of one run: ``results/runs/<preset>/<task>/<strategy>/seed-<n>-<id>``.

    Each part is made safe to be a folder's name; two strategies that then look alike differ in ``id``.
    """
    names = [folder_name(part) for part in (preset, task, strategy)]
    return results.joinpath(RUNS, *names, f"seed-{seed}-{folder_name(id)}")


def folder_name(name: str) -> str:
    """Return ``name`` as what a folder may be called; different names may come out alike."""
    # No leading dot: such folders are hidden, and "." and ".." are not names at all.
    safe = re.sub(r"[^\w.=+-]+", "-", name, flags=re.ASCII).strip("-.")
    if len(safe) > _LONGEST_NAME or not safe:
        safe = f"{safe[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
    return safe


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the whole record of the run in ``folder``, or None where none is written yet.

    Raises BenchError if the record is corrupt, or made by a newer version of this program.
    """
    path = folder / "record.json"
    try:
        return json.loads(_parsed(path)[0])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BenchError(f"cannot read {mirror.shown(path)}: {error.strerror}") from error
    except NewerError as error:
        raise BenchError(f"{mirror.shown(path)} was {error}") from error
    except ValueError as error:
        raise BenchError(f"{mirror.shown(path)} is corrupt: {error}; delete it and run the cell again") from error


def _parsed(path: str | Path) -> tuple[bytes, Record]:
    """Return a record as it was read, and what it says; ValueError where it is corrupt, on an object store as well."""
    try:
        content = _content(path)
        return content, parse(content)
    except NewerError:
        raise
    except ValueError:
        if not mirror.renew(Path(path)):
            raise
        content = _content(path)
        return content, parse(content)


def _content(path: str | Path) -> bytes:
    """Return the bytes of a record; ValueError where it is nothing that could be one."""
    try:
        info = os.stat(path)
    except OSError as error:
        # A run that is not finished has no record. A link that leads nowhere is one that cannot be read.
        if os.path.islink(path):
            raise ValueError(f"a link that leads nowhere: {error.strerror}") from error
        raise
    if not stat.S_ISREG(info.st_mode):
        raise ValueError("not a file")
    if info.st_size > _LARGEST:
        raise ValueError(f"{info.st_size:,} bytes are no record")
    with open(path, "rb") as file:
        content = file.read()
    content.decode()  # what a reader skips is looked at by nobody else
    return content


@uncollected()
def scan(results: Path) -> tuple[list[Record], list[tuple[Path, str]]]:
    """Return (records, corrupt) of every run under ``results``, in the order of their folders.

    A corrupt record is moved to ``results/aside`` and returned with a reason. It stays where it is, and is only
    returned, if it was made by a newer version of this program, or if ``results`` mirrors an object store, on which
    nothing changes by being read. Raises BenchError if there are no results.
    """
    skipped = mirror.bring(results / RUNS)
    if not (results / RUNS).is_dir():
        raise BenchError(
            f"no results in {mirror.shown(results)!r}; make some first, for example:\n"
            "  bench run --strategy none,mate-kd --tasks rte\n"
            "or say where they are: --results DIR"
        )
    records: list[Record] = []
    corrupt: list[tuple[Path, str]] = [*skipped]
    root, is_shared = os.fspath(results), mirror.of(results) is not None
    for folder in sorted(_run_folders(results)):
        file = f"{root}/{folder}/record.json"  # a Path for each of 10,000 would take longer than reading it
        try:
            _, record = _parsed(file)
        except FileNotFoundError:
            continue  # cut off or still running
        except OSError as error:
            corrupt.append((Path(file), f"cannot be read: {error.strerror}"))
        except NewerError as error:
            corrupt.append((Path(file), str(error)))
        except ValueError as error:
            where = "left there" if is_shared else set_aside_record(results, Path(file))
            corrupt.append((Path(file), f"{error}; {where}"))
        else:
            record.folder = folder
            records.append(record)
    return records, corrupt


def _run_folders(results: Path) -> list[str]:
    """Return the folders of all runs, relative to ``results``; never looks inside one."""
    folders = [RUNS]
    for _ in ("preset", "task", "strategy", "run"):
        below = []
        for folder in folders:
            try:
                with os.scandir(results / folder) as entries:
                    below += [f"{folder}/{entry.name}" for entry in entries if _is_folder(entry)]
            except FileNotFoundError:
                continue  # deleted since it was listed
            except OSError as error:
                raise BenchError(f"cannot list {results / folder}: {error.strerror}") from error
        folders = below
    return folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


def set_aside_record(results: Path, path: Path) -> str:
    """Move a record out of the way, so that its cell runs again; return where it went, in words.

    In the mirror of an object store that is done there, too, by a copy under ``aside``: whoever calls this has the
    lease of the cell.
    """
    target = results / ASIDE / path.relative_to(results)
    while os.path.lexists(target):
        target = target.with_name(f"{target.name}.again")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
    except OSError as error:
        return f"left where it is, as it could not be moved to {target}: {error.strerror}"
    if (there := mirror.of(path)) is not None:
        if target.is_file():
            # By its content: what other machines have set aside of this cell stays.
            there.store.send(target, f"{there.name(target)}.{digest(target.read_bytes())}")
        there.drop(path)
    return f"moved to {target}"


def left_out(path: Path, reason: str) -> str:
    """Return in words that what is at ``path`` is left out for the ``reason`` that ``scan`` gives."""
    is_other = reason.startswith(("made by", "an object", "cannot be"))
    return f"{'left out, ' if is_other else 'corrupt record '}{mirror.shown(path)}: {reason}"


def set_aside(results: Path) -> list[Path]:
    """Return the corrupt records that scans have moved to ``results/aside``."""
    return sorted((results / ASIDE).rglob("record.json*"))
