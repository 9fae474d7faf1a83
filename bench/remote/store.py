"""An object store through fsspec: listing, reading, writing, creating once; tried again where the network fails."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError, UsageError

ENDURES = "what was made here is kept, and the same command goes on when the store is there again"
_WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before another attempt."""
_AZURE = ("abfs", "abfss", "az")
_CREATES_ONCE = ("s3", "s3a", "gs", "gcs", *_AZURE, "memory")
"""Protocols whose libraries have the store itself refuse a second create. fsspec's default looks first, then writes."""
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "updated", "mtime", "created")


class StoreError(BenchError):
    """The object store cannot be reached or refuses. What was made is in the local folder."""


class Entry(NamedTuple):
    """An object: its bytes, and a tag that is another one when its content is."""

    size: int
    tag: str

    def is_of(self, path: Path) -> bool:
        """Return whether the file at ``path`` is the object: of one sent at once the tag is the digest, mostly."""
        if path.stat().st_size != self.size:
            return False
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == self.tag


def checked(url: str) -> str:
    """Return ``url`` as it is written everywhere; UsageError where it names no place, or holds what is secret."""
    protocol, _, rest = url.partition("://")
    protocol = protocol.lower()
    # Azure's container@account is no secret.
    plain = rest.replace("@", "", 1) if protocol in _AZURE else rest
    if any(mark in plain for mark in "@:?#"):
        raise UsageError(
            f"the {protocol}:// URL of --results holds more than a place: give PROTOCOL://BUCKET/FOLDER alone, as it "
            "is written into records, and keys or tokens the way the store's library has it (environment, files)"
        )
    if protocol in ("file", "local", "http", "https"):
        raise UsageError(f"{protocol}:// is no object store that results can be written to: give a folder, or s3://…")
    if not rest.strip("/"):
        raise UsageError(f"{url} names no bucket: give PROTOCOL://BUCKET/FOLDER")
    return f"{protocol}://{rest.rstrip('/')}"


class Store:
    """The objects under ``url``, each by its name relative to that."""

    def __init__(self, url: str) -> None:
        # Imported here: it takes longer than all else in the ground.
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        self.url = url
        try:
            # Other machines write, too: nothing of a listing is remembered.
            self._fs, self._root = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"cannot open {url}: {error} (for s3://: pip install 'distil-augment-bench[remote]')"
            ) from error

    def find(self, folder: str) -> dict[str, Entry]:
        """Return all objects under ``folder``, however deep; none where there is no such folder."""
        try:
            objects = self._try("list", folder, self._fs.find, self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        start = len(self._root.rstrip("/")) + 1
        # What a store's own pages call a folder is an object whose name ends in a slash.
        files = {name[start:]: info for name, info in objects.items() if not name.endswith("/")}
        return {name: Entry(int(info.get("size") or 0), _tag(info)) for name, info in files.items() if name}

    def read(self, name: str) -> bytes:
        """Return the content of an object; FileNotFoundError where it is not there."""
        return self._try("read", name, self._fs.cat_file, self._at(name))

    def fetch(self, name: str, path: Path) -> None:
        """Write the content of an object to ``path``; FileNotFoundError where it is not there."""
        self._try("read", name, self._fs.get_file, self._at(name), str(path))

    def write(self, name: str, content: bytes) -> None:
        """Write an object, over what was there."""
        self._try("write", name, self._fs.pipe_file, self._at(name), content)

    def send(self, path: Path, name: str) -> None:
        """Write the file at ``path`` as an object, over what was there; nothing where it has been deleted."""
        try:
            self._try("write", name, self._fs.put_file, str(path), self._at(name))
        except FileNotFoundError as error:
            if path.exists():
                raise StoreError(f"cannot write {self.url}/{name}: {error}; make the bucket") from error

    def create(self, name: str, content: bytes) -> bool:
        """Write an object and return True; False where there is one already. Of two at once one gets True."""
        protocol = self.url.partition("://")[0]
        if protocol not in _CREATES_ONCE:
            raise UsageError(
                f"runs cannot be written to {protocol}://: it is not known to refuse a second create of one object, "
                f"and a cell might run twice; known to: {', '.join(_CREATES_ONCE[:-1])}"
            )
        try:
            self._try("write", name, self._fs.pipe_file, self._at(name), content, mode="create")
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                return self.read(name) == content  # an attempt of this one's, whose answer was lost
            return False
        except FileNotFoundError as error:
            raise StoreError(f"cannot write {self.url}/{name}: {error}; make the bucket") from error
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, whether they are there or not."""
        paths = [self._at(name) for name in names]
        try:
            if paths:
                self._try("delete", "objects", self._fs.rm, paths)
        except FileNotFoundError:
            pass  # another one was quicker

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}".rstrip("/")

    def _try(self, doing: str, name: str, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        for wait in (*_WAITS, None):
            try:
                return function(*given, **named)
            except (FileNotFoundError, FileExistsError):
                raise
            except Exception as error:
                if wait is None or isinstance(error, PermissionError):
                    reason = " ".join(str(error).split()) or type(error).__name__
                    raise StoreError(f"cannot {doing} {self.url}/{name}: {reason:.300}; {ENDURES}") from error
                time.sleep(wait)
        raise AssertionError


def _tag(info: dict[str, Any]) -> str:
    return next((str(info[key]).strip('"') for key in _TAGS if info.get(key)), "")
