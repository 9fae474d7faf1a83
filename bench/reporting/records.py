"""Where runs live on disk: their folders, their records, and a fast scan over all of them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.files import whole_file

SCHEMA = 1
RUNS, ASIDE, INDEX = "runs", "aside", "cache/records-index.json"
_LONGEST_NAME = 80
_NUMBER = (int, float)
_ALWAYS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "status": str,
    "preset": str,
    "task": str,
    "strategy": str,
    "strategy_options": dict,
    "seed": int,
    "signature": str,
}
_WHEN_DONE: dict[str, type | tuple[type, ...]] = {
    "main.split": str,
    "main.metric": str,
    "main.value": (*_NUMBER, type(None)),
    "metrics": dict,
    "data": dict,
    "selection.rule": str,
    "selection.optimistic": bool,
    "cost.student_updates": int,
    "cost.adversary_updates": int,
    "cost.train_seconds": _NUMBER,
}
# What tables need. The rest (of spec, packages, phases) stays in the record, or the index would be as big.
_KEPT = (*_ALWAYS, "reason", "data", "teacher", "generator", "main", "metrics", "selection", "text_quality")
_KEPT_SPEC = ("generator",)
_KEPT_COST = ("student_updates", "adversary_updates", "train_seconds", "attack_queries")
_KEPT_PROVENANCE = ("hardware", "finished")
# An index made under other rules than these is not used.
_INDEX_VERSION = zlib.crc32(
    repr((SCHEMA, _ALWAYS, _WHEN_DONE, _KEPT, _KEPT_SPEC, _KEPT_COST, _KEPT_PROVENANCE)).encode()
)


def run_folder(results: Path, preset: str, task: str, strategy: str, seed: int, id: str) -> Path:
    """Return the folder of one run: ``results/runs/<preset>/<task>/<strategy>/seed-<n>-<id>``.

    Each part is made safe to be a folder's name; two strategies that then look alike differ in ``id``.
    """
    names = [_folder_name(part) for part in (preset, task, strategy)]
    return results.joinpath(RUNS, *names, f"seed-{seed}-{_folder_name(id)}")


def _folder_name(name: str) -> str:
    # No leading dot: such folders are hidden, and "." and ".." are not names at all.
    safe = re.sub(r"[^\w.=+-]+", "-", name, flags=re.ASCII).strip("-.")
    if len(safe) > _LONGEST_NAME or not safe:
        safe = f"{safe[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
    return safe


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the whole record of the run in ``folder``, or None where none is written yet.

    Raises BenchError if the record is corrupt.
    """
    path = folder / "record.json"
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise BenchError(f"{path} is corrupt: {error}; delete it and run the cell again") from error
    complaint = _complaint(record)
    if complaint:
        raise BenchError(f"{path} is corrupt: {complaint}; delete it and run the cell again")
    return record


def _complaint(record: Any) -> str | None:
    """Return what is wrong with the shape of ``record``, or None."""
    if not isinstance(record, dict):
        return "not a JSON object"
    if record.get("schema") != SCHEMA:
        return f"schema {record.get('schema')!r}, where this version reads {SCHEMA}"
    wanted = dict(_ALWAYS)
    if record.get("status") == "done":
        wanted |= _WHEN_DONE
    elif record.get("status") not in ("failed", "skipped"):
        return f"status {record.get('status')!r} is none of done, failed, skipped"
    for dotted, kind in wanted.items():
        value: Any = record
        for key in dotted.split("."):
            if not isinstance(value, dict) or key not in value:
                return f"no {dotted!r}"
            value = value[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            return f"{dotted!r} is {value!r}"
    return None


def scan(results: Path) -> tuple[list[dict[str, Any]], list[tuple[Path, str]]]:
    """Return (records, corrupt) of every run under ``results``, in the order of their paths.

    A record here holds what tables need, and ``folder``, its run's folder relative to ``results``, where
    ``read_record`` finds the rest. A corrupt record is moved to ``results/aside`` and returned with a reason.
    Unchanged records (same path, mtime and size) come from an index under ``results/cache``, which may be
    deleted at any time. Raises BenchError if there are no results.
    """
    if not (results / RUNS).is_dir():
        raise BenchError(
            f"no results in {str(results)!r}; make some first, for example:\n"
            "  bench run --strategy none,mate-kd --tasks rte\n"
            "or say where they are: --results DIR"
        )
    known = _read_index(results / INDEX)
    found: dict[str, list[Any]] = {}
    corrupt: list[tuple[Path, str]] = []
    for file, place, stat in _record_files(results):
        entry = known.get(place)
        if entry is None or entry[0] != stat.st_mtime_ns or entry[1] != stat.st_size:
            path = Path(file)
            try:
                record = _read_for_tables(path, place)
            except FileNotFoundError:
                continue  # deleted since it was listed
            except OSError as error:
                corrupt.append((path, f"cannot be read: {error.strerror}"))
                continue
            except ValueError as error:
                corrupt.append((path, f"{error}; {set_aside_record(results, path)}"))
                continue
            entry = [stat.st_mtime_ns, stat.st_size, record]
        found[place] = entry
    if found != known:
        _write_index(results / INDEX, found)
    return [found[place][2] for place in sorted(found)], corrupt


def _read_for_tables(path: Path, place: str) -> dict[str, Any]:
    """Return what tables need of the record at ``path``; ValueError says why it is corrupt."""
    record = json.loads(path.read_bytes())
    complaint = _complaint(record)
    if complaint:
        raise ValueError(complaint)
    kept = {key: record[key] for key in _KEPT if key in record}
    for section, keys in (("cost", _KEPT_COST), ("provenance", _KEPT_PROVENANCE), ("spec", _KEPT_SPEC)):
        kept[section] = {key: value for key, value in (record.get(section) or {}).items() if key in keys}
    kept["folder"] = place
    return kept


def _record_files(results: Path) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield (path, run's folder relative to results, stat) of every record; never looks inside a run."""
    folders = [RUNS]
    for _ in ("preset", "task", "strategy", "run"):
        below = []
        for folder in folders:
            try:
                with os.scandir(results / folder) as entries:
                    below += [f"{folder}/{entry.name}" for entry in entries if entry.is_dir()]
            except FileNotFoundError:
                continue  # deleted since it was listed
            except OSError as error:
                raise BenchError(f"cannot list {results / folder}: {error.strerror}") from error
        folders = below
    root = os.fspath(results)
    for place in folders:
        path = f"{root}/{place}/record.json"  # a Path for each of 10,000 would take longer than the stat
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            continue  # cut off or still running
        yield path, place, stat


def set_aside_record(results: Path, path: Path) -> str:
    """Move a corrupt record out of the way, so that its cell runs again; return where it went, in words."""
    target = results / ASIDE / path.relative_to(results)
    while target.exists():
        target = target.with_name(f"{target.name}.again")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
    except OSError as error:
        return f"left where it is, as it could not be moved to {target}: {error.strerror}"
    return f"moved to {target}"


def set_aside(results: Path) -> list[Path]:
    """Return the corrupt records that scans have moved to ``results/aside``."""
    return sorted(path for path in (results / ASIDE).rglob("record.json*") if path.is_file())


def _read_index(path: Path) -> dict[str, list[Any]]:
    """Return the index, or an empty one where it is missing, damaged or of another version."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        if json.loads(head) == {"version": _INDEX_VERSION, "crc32": zlib.crc32(body)}:
            return json.loads(body)
    except (OSError, ValueError):
        # Everything in the index is also in the records: whatever is wrong with it, it is made anew.
        logging.getLogger(__name__).info("no usable index at %s: reading every record", path)
    return {}


def _write_index(path: Path, entries: dict[str, list[Any]]) -> None:
    body = json.dumps(entries, separators=(",", ":")).encode()
    head = json.dumps({"version": _INDEX_VERSION, "crc32": zlib.crc32(body)}).encode()
    try:
        with whole_file(path) as part:
            part.write_bytes(head + b"\n" + body)
    except BenchError as error:
        # Results that one may only read can still be compared, if more slowly.
        logging.getLogger(__name__).info("no index kept: %s", error)
