"""Files and folders that are whole or absent, and digests of what is in them."""

from __future__ import annotations

import errno
import functools
import hashlib
import itertools
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.observer import Observer
from bench.remote import mirror
from bench.remote.mirror import CHECKSUMS

_UNFINISHED = ".part"
_RESULTS = "--results DIR"


def digest(*parts: Any) -> str:
    """Return 16 hex digits that identify ``parts``: bytes, texts, or what JSON can hold (others by ``str``)."""
    whole = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        # With its length before it, no two lists of parts are the same bytes.
        whole.update(f"{len(content)}:".encode() + content)
    return whole.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Return the sha256 of the file at ``path``, read again only after its size or time has changed."""
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _file_digest(path: Path, size: int, modified: int) -> str:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            content.update(block)
    return content.hexdigest()


def content_digest(path: Path) -> str | None:
    """Return the digest of the file at ``path``, or of the model in that folder; None where neither is there.

    Of a folder count configuration, weights and tokenizer.
    """
    if path.is_file():
        return file_digest(path)[:16]
    files = [file for file in path.glob("*") if file.suffix in (".json", ".safetensors", ".bin", ".txt", ".model")]
    return digest({file.name: file_digest(file) for file in files}) if files else None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield the name of a file to write, which becomes ``path`` when the block ends well and vanishes if it does not.

    In the mirror of an object store it is sent there, too. Raises BenchError, naming ``path``, where that cannot be
    written.
    """
    # In a folder of its own, so that the name keeps its ending (NumPy appends one) and no search finds it.
    folder = _beside(path)
    part = folder / path.name
    try:
        folder.mkdir(parents=True)
        try:
            yield part
            _sync(part)
            # Before it is here: what another machine has taken over is not made twice.
            there = mirror.of(path)
            ours = there is None or there.is_ours(path)
            os.replace(part, path)
            _sync(path.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    if there is not None:
        there.send(path, checked=ours)


def _sync(path: Path) -> None:
    """Have the file at ``path``, or the names in that folder, on the disk, where a power cut leaves them."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that syncs no folders
            raise
    finally:
        os.close(opened)


@contextmanager
def whole_folder(path: Path, *, later: bool = False, instead: str = _RESULTS) -> Iterator[Path]:
    """Yield a folder to fill that becomes ``path`` when the block ends well, and vanishes if it does not.

    Its files' sha256 are written down in it, for ``is_whole``. Where another process has put a folder at ``path``
    meanwhile, that one stays. In the mirror of an object store it is sent there, too, or, ``later``, while work goes
    on: then the disk is not waited for either. Raises BenchError, naming ``path`` and what to give ``instead``, where
    that cannot be written.
    """
    part = _beside(path)
    try:
        part.mkdir(parents=True)
        try:
            yield part
            (part / CHECKSUMS).write_text(_checksums(part))
            if not later:
                for file in (*part.iterdir(), part):
                    _sync(file)
            there = mirror.of(path)
            ours = there is None or later or there.is_ours(path)
            try:
                os.replace(part, path)
                if not later:
                    _sync(path.parent)
            except OSError:
                if not path.is_dir():
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise cannot_write(path, error, instead) from error
    if there is not None:
        there.send_later(path) if later else there.send(path, checked=ours)


def is_whole(folder: Path, observer: Observer) -> bool:
    """Return whether ``folder`` is as ``whole_folder`` left it; a damaged one is set aside, with a note.

    Each file is read once per process, and again only where its size or time has changed. In the mirror of an object
    store, one that is not here is brought.
    """
    if not os.path.lexists(folder):
        return _brought(folder, observer)
    if not (damage := _damage(folder)):
        return True
    aside = _moved_aside(folder)
    if _brought(folder, observer):
        observer.note(f"damaged, set aside as {aside} and brought anew: {folder} ({damage})")
        return True
    observer.note(f"damaged, set aside as {aside} and to be made anew: {folder} ({damage})")
    return False


def _damage(folder: Path) -> str:
    """Return in what ``folder`` is not as ``whole_folder`` left it; nothing where it is."""
    try:
        lines = {*(folder / CHECKSUMS).read_text().splitlines()} ^ {*_checksums(folder).splitlines()}
        names = {line.partition("  ")[2] for line in lines}
        return ", ".join(sorted(name if name and name.isprintable() else CHECKSUMS for name in names))
    except (OSError, ValueError) as error:
        return str(error)


def _brought(folder: Path, observer: Observer) -> bool:
    """Bring ``folder`` from the object store that it mirrors; False where there is none, or no whole one on it."""
    if (there := mirror.of(folder)) is None:
        return False
    part = _beside(folder)
    try:
        part.mkdir(parents=True)
        if not there.fetch(folder, part):
            return False
        if damage := _damage(part):
            observer.note(f"damaged on the store, and to be made anew: {mirror.shown(folder)} ({damage})")
            return False
        try:
            os.replace(part, folder)
        except OSError:  # another process was quicker
            if not folder.is_dir():
                raise
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def remove(path: Path) -> None:
    """Delete the file or folder at ``path``, if it is there, and on the object store that it mirrors."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    if (there := mirror.of(path)) is not None:
        there.drop(path)


def set_aside(path: Path) -> Path:
    """Rename the file or folder at ``path``, if it is still there, to a free name beside it; return that name.

    What an object store has of it is deleted.
    """
    aside = _moved_aside(path)
    if (there := mirror.of(path)) is not None:
        there.drop(path)
    return aside


def _moved_aside(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.corrupt-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    try:
        os.rename(path, aside)
    except FileNotFoundError:  # another process was quicker
        pass
    except OSError as error:
        raise cannot_write(path, error) from error
    return aside


def in_bytes(size: float) -> str:
    """Return ``size`` bytes as a person reads them: 68 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def _checksums(folder: Path) -> str:
    """Return a line for each file in ``folder``, as ``sha256sum -c`` reads them."""
    files = [file for file in folder.iterdir() if file.is_file() and file.name != CHECKSUMS]
    return "".join(f"{file_digest(file)}  {file.name}\n" for file in sorted(files) if not file.name.startswith("."))


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_UNFINISHED}")


def remove_unfinished(folder: Path) -> None:
    """Delete what processes that were killed left half-written in ``folder``, in which nobody else may be writing."""
    for part in folder.glob(f".*{_UNFINISHED}"):
        shutil.rmtree(part, ignore_errors=True)


def is_unfinished(path: Path) -> bool:
    """Return whether ``path`` is what ``whole_file`` and ``whole_folder`` write before it gets its name."""
    return path.name.startswith(".") and path.name.endswith(_UNFINISHED)


def cannot_write(path: Path, error: OSError, instead: str = _RESULTS) -> BenchError:
    """Return the error for a file or folder at ``path`` that could not be written, naming what to give ``instead``."""
    return BenchError(
        f"cannot write {path}: {error.strerror or error}; make room and the folder writable, or name another: {instead}"
    )


def write_json(path: Path, obj: Any, *, anew: bool = True) -> None:
    """Write ``obj`` to ``path`` at once or not at all; parent folders are made.

    NumPy numbers become plain ones, paths text, and numbers that are not finite null (JSON has none). What is there
    already is written ``anew``, which waits for the disk, or left. Raises BenchError where it cannot be written.
    """
    text = json.dumps(_plain(obj), indent=1, allow_nan=False) + "\n"
    if not anew:
        with suppress(OSError):  # it is gone meanwhile, or not ours to read
            if path.read_bytes() == text.encode():
                return
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # a NumPy number or array, known without importing NumPy
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
