"""Results on an object store: the local folder that all work is done in, and what of it is sent and brought, when.

The folder of a URL, its mirror, lies under ``BENCH_MIRROR``, by default in the user's cache. What is committed there by
``bench.files`` is sent at once, and what is looked for there and is not there is brought.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, UsageError, quoted
from bench.remote.names import ALL, CACHE, NO_FILE, NO_NAME, OWN, UNFINISHED, first_part, is_safe, is_shared

if TYPE_CHECKING:
    from bench.remote.leases import Lease
    from bench.remote.store import Store

CHECKSUMS = "SHA256SUMS"
"""The file of a folder that is sent last: without it the folder is not whole."""
_ORIGIN, _SEEN = ".origin.json", ".seen.jsonl"
_AT_ONCE = 16
# The URL of a store, but for a slash or two.
_MEANT = re.compile(r"(s3a?|gc?s|abfss?|az|memory):/?(?!/)", re.IGNORECASE)
Skipped = list[tuple[Path, str]]
"""Objects that cannot be files here, by where they would be, with the reason."""
_opened: dict[str, Mirror] = {}


def opened(url: str) -> Path:
    """Return the mirror of ``url``, made if need be; UsageError where that is no place for results."""
    from bench.remote.leases import silence
    from bench.remote.store import checked

    url = checked(url)
    silence()  # what is wrong with it is said before any cell is begun
    root = _base() / hashlib.sha256(url.encode()).hexdigest()[:16]
    try:
        root.mkdir(parents=True, exist_ok=True)
        origin = root / _ORIGIN
        if not origin.exists():
            part = root / f"{_ORIGIN}.{uuid.uuid4().hex}"
            part.write_text(json.dumps({"url": url, "id": uuid.uuid4().hex}))
            with contextlib.suppress(FileExistsError):  # of two processes at once the first one's stays
                os.link(part, origin)
            part.unlink()
    except OSError as error:
        raise BenchError(
            f"cannot make the mirror of {url}, {root}: {error.strerror}; name another: BENCH_MIRROR=DIR"
        ) from error
    mirror = of(root)
    assert mirror is not None
    mirror.store  # noqa: B018 - a library that is not there is said now
    return root


def folder_of(results: str | os.PathLike[str]) -> Path:
    """Return the local folder of ``results``, a folder or a URL; UsageError for what was meant to be a URL."""
    if not isinstance(results, str):
        return Path(results)
    if _MEANT.match(results):
        protocol, _, rest = results.partition(":")
        url = f"{protocol.lower()}://{rest.lstrip('/')}"
        raise UsageError(f"{quoted(results)} is no URL: type {url}, or, for a folder of that name, ./{results}")
    return opened(results) if "://" in results else Path(results)


def of(path: Path) -> Mirror | None:
    """Return the mirror that ``path`` lies in; None for all else."""
    whole = os.fspath(path)
    for root, mirror in _opened.items():
        if whole == root or whole.startswith(f"{root}/"):
            return mirror
    base = f"{_base()}/"
    if not whole.startswith(base):
        return None
    root = base + whole[len(base) :].partition("/")[0]
    try:
        origin = json.loads(Path(root, _ORIGIN).read_text())
    except FileNotFoundError:
        return None
    return _opened.setdefault(root, Mirror(Path(root), origin["url"], origin["id"]))


def bring(folder: Path) -> Skipped:
    """Make ``folder``, if it is in a mirror, what it is on the store, and send what is only here.

    Returns the objects that were left out, as none of this program's files has such a name.
    """
    return [] if (mirror := of(folder)) is None else mirror.bring(folder)


def fetch_file(path: Path) -> None:
    """Bring the file at ``path``, if it is in a mirror, on the store, and not here."""
    if (mirror := of(path)) is not None and not path.exists():
        mirror.bring_file(mirror.name(path))


def renew(path: Path) -> bool:
    """Bring the file at ``path``, which is damaged here, anew if the store has it; False where there is no store."""
    if (mirror := of(path)) is None or not path.is_file():
        return False
    mirror.bring_file(mirror.name(path))
    return True


def shown(path: Path) -> str:
    """Return ``path`` as a person knows it: in a mirror by the URL."""
    mirror = of(path)
    return str(path) if mirror is None else f"{mirror.url}/{mirror.name(path)}".rstrip("/")


def reduced(path: Path) -> tuple[Callable[..., Path], tuple[Any, ...]]:
    """Return how ``path`` is pickled: in a mirror as the URL, which has another mirror elsewhere."""
    mirror = of(path)
    return (type(path), path.parts) if mirror is None else (_at, (mirror.url, mirror.name(path)))


def _at(url: str, name: str) -> Path:
    return opened(url) / name


def _base() -> Path:
    text = os.environ.get("BENCH_MIRROR") or "~/.cache/distil-augment-bench/mirrors"
    try:
        return Path(text).expanduser().resolve()
    except RuntimeError as error:  # ~ of nobody, or a link to itself
        raise UsageError(f"BENCH_MIRROR={quoted(text)} is no folder ({error}): give one, BENCH_MIRROR=DIR") from error


class Mirror:
    """The local folder ``root`` of the results at ``url``, with an identity of its own."""

    def __init__(self, root: Path, url: str, identity: str) -> None:
        self.root, self.url, self.identity = root, url, identity
        self.leases = set[Any]()
        self.sending: Path | None = None
        """The folder that is being sent at this moment, while work goes on."""
        self._later: Future[None] | None = None
        self._newest: Path | None = None
        self._lock = threading.Lock()
        self._tags, self._read = dict[str, Any](), 0

    @cached_property
    def store(self) -> Store:
        """The store."""
        from bench.remote.store import Store

        return Store(self.url)

    @cached_property
    def _background(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1)

    def name(self, path: Path) -> str:
        """Return what ``path`` is called on the store; the mirror itself is the empty name."""
        return "" if path == self.root else path.relative_to(self.root).as_posix()

    def try_out(self) -> None:
        """Raise StoreError or UsageError where runs cannot be written to the store, as where the bucket is missing."""
        name = f"leases/{uuid.uuid4().hex}"
        self.store.create(name, b"")
        self.store.delete([name])

    def lease(self, path: Path) -> Lease:
        """Return the lease of what one machine at a time may make at ``path``."""
        from bench.remote.leases import Lease

        return Lease(self.store, self.name(path), self.identity)

    def guard(self, path: Path) -> None:
        """Raise Lost where ``path`` is of something whose lease this process had, and another machine has now."""
        name = self.name(path)
        for lease in [*self.leases]:
            if name.startswith(lease.name):
                lease.check()

    def is_ours(self, path: Path) -> bool:
        """Return whether ``path`` may be sent; False where the store cannot be asked. Lost as ``guard`` raises it."""
        from bench.remote.leases import Lost
        from bench.remote.store import StoreError

        try:
            self.guard(path)
        except Lost:
            raise
        except StoreError:
            return False
        return True

    def send(self, path: Path, *, checked: bool = True) -> None:
        """Send the file or whole folder at ``path``, unless it is of no use elsewhere or has been deleted.

        ``checked``: it is known to be ours.
        """
        name = self.name(path)
        if OWN.search(f"{name}/"):
            return
        if not checked:
            self.guard(path)
        if path.is_dir():
            names = [f"{name}/{file.name}" for file in path.iterdir() if file.name != CHECKSUMS and file.is_file()]
            self._each(lambda one: self.store.send(self.root / one, one), names)
            name = f"{name}/{CHECKSUMS}"
        self.store.send(self.root / name, name)
        if not UNFINISHED.search(name):
            self._note({name: ""})

    def send_later(self, folder: Path) -> None:
        """Send a numbered folder while work goes on, unless a newer one comes first; of those on the store two stay.

        Raises StoreError where the last one could not be sent.
        """
        before = self._later
        self._newest, self._later = folder, self._background.submit(self._send_state, folder)
        if before is not None and before.done():
            before.result()

    def _send_state(self, folder: Path) -> None:
        if folder != self._newest:
            return
        self.sending = folder
        try:
            self.send(folder, checked=False)
            home = self.name(folder.parent)
            numbered = {
                name: int(number) for name in self.store.find(home) if (number := first_part(name, home)).isdecimal()
            }
            stay = sorted({*numbered.values()})[-2:]
            self.store.delete(name for name, number in numbered.items() if number not in stay)
        finally:
            self.sending = None

    def flush(self) -> None:
        """Wait for what is being sent, whatever becomes of it."""
        later, self._later = self._later, None
        if later is not None:
            later.exception()

    def drop(self, path: Path) -> None:
        """Delete the file or folder at ``path`` from the store."""
        name = self.name(path)
        if not OWN.search(f"{name}/"):
            self.guard(path)
            self.flush()
            there = self.store.find(name)
            self.store.delete(there)
            self._note(dict.fromkeys([name, *there], None))

    def fetch(self, folder: Path, to: Path) -> bool:
        """Bring the files of ``folder`` into the folder ``to``; False where there is no whole one on the store."""
        name = self.name(folder)
        names = [] if OWN.search(f"{name}/") else [one for one in self.store.find(name) if is_safe(one)]
        if f"{name}/{CHECKSUMS}" not in names:
            return False
        try:
            # Files alone: a folder that was sent has no other folders in it.
            self._each(lambda one: self.store.fetch(one, to / one.rpartition("/")[2]), names)
        except FileNotFoundError:  # deleted at this moment
            return False
        return True

    def numbers(self, home: Path) -> set[int]:
        """Return the numbers of the whole folders under ``home`` on the store that are called by a number."""
        parts = [name.split("/")[-2:] for name in self.store.find(self.name(home))]
        return {int(number) for number, file in parts if file == CHECKSUMS and number.isdecimal()}

    def bring(self, folder: Path) -> Skipped:
        """Make ``folder`` what it is on the store, and send what was made here and never sent.

        Students and caches stay where they are. Lists once, and brings what has another tag than when it was seen.
        Returns the objects that cannot be files here, with the reason.
        """
        from bench.remote.store import StoreError

        # Read before the listing: what is sent meanwhile is in neither.
        seen, inside = self._seen(), self.name(folder)
        remote = {name: entry for name, entry in self.store.find(inside).items() if is_shared(name)}
        odd = {name for name in remote if name == inside or NO_FILE.search(name)}
        # Of an object and others under its name, which is a folder's here, the others count.
        folders = {above.as_posix() for name in remote.keys() - odd for above in PurePosixPath(name).parents}
        odd |= remote.keys() & folders
        for name in odd:
            del remote[name]
        skipped = [(self.root / name, "an object with the name of a folder; delete it") for name in sorted(odd)]
        local = {name for name in self._files(folder) if is_shared(name)}
        if not remote and ALL.search(inside) and any(seen.get(name) is not None for name in local):
            raise StoreError(
                f"{shown(folder)} is empty, and was not when this machine last looked: is it the right store? If "
                f"all of it was deleted on purpose, delete {self.root} too"
            )
        whole = {name.rpartition("/")[0] for name in (*remote, *local) if name.endswith(f"/{CHECKSUMS}")}
        wanted, gone, known = list[str](), dict[str, str | None](), dict[str, str | None]()
        for name, entry in remote.items():
            if (
                name.rpartition("/")[0] in whole
                or "/student/" in name
                or (CACHE.search(name) and not CACHE.search(inside))
            ):
                continue
            if name not in local or (seen.get(name) or "") != entry.tag:
                if name in local and entry.is_of(self.root / name):
                    known[name] = entry.tag
                else:
                    wanted.append(name)
        sent = [name for name in local if name not in remote and seen.get(name) is None]
        for name in local:
            if name not in remote and seen.get(name) is not None and name.rpartition("/")[0] not in whole:
                (self.root / name).unlink(missing_ok=True)  # deleted on the store
                gone[name] = None
        self._note(known | gone)
        unfit = dict[str, str]()

        def fetch(name: str) -> None:
            if reason := self.bring_file(name):
                unfit[name] = f"{reason}; delete the object"

        self._each(fetch, wanted, lambda name: self._note({} if name in unfit else {name: remote[name].tag}))
        skipped += ((self.root / name, reason) for name, reason in unfit.items())
        for name in sent:
            if name.endswith(f"/{CHECKSUMS}"):
                self.send((self.root / name).parent)
        loose = [name for name in sent if name.rpartition("/")[0] not in whole]
        for is_record in (False, True):  # what says that a run is over: last
            these = [name for name in loose if name.endswith("/record.json") == is_record]
            self._each(lambda name: self.send(self.root / name), these)
        return skipped

    def bring_file(self, name: str) -> str:
        """Bring the file called ``name``, if it is on the store; return why it cannot be one here, nothing if it can.

        BenchError where the mirror cannot be written.
        """
        path = self.root / name
        part = path.with_name(f".{uuid.uuid4().hex[:8]}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.store.fetch(name, part)
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
        except FileNotFoundError:
            pass  # deleted at this moment
        except OSError as error:
            if error.errno in NO_NAME:
                return f"cannot be a file here: {error.strerror}"
            raise BenchError(
                f"cannot write {path}, of the mirror of {self.url}: {error.strerror}; make room, or name another "
                "place: BENCH_MIRROR=DIR"
            ) from error
        return ""

    def _files(self, folder: Path) -> Iterable[str]:
        for root, folders, files in os.walk(folder):
            start = self.name(Path(root))
            start = f"{start}/" if start else ""
            folders[:] = [one for one in folders if is_shared(f"{start}{one}/")]
            yield from (start + file for file in files)

    def _each(
        self, act: Callable[[str], None], names: Iterable[str], done: Callable[[str], None] | None = None
    ) -> None:
        """``act`` on all ``names`` in threads, and say here of which it is ``done``."""
        names = list(names)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for name, _ in zip(names, threads.map(act, names), strict=True):
                if done is not None:
                    done(name)

    def _seen(self) -> dict[str, str | None]:
        """Return the tags that files had when they were last the same here and there; None of those deleted there."""
        with self._lock, contextlib.suppress(FileNotFoundError), open(self.root / _SEEN, "rb") as file:
            file.seek(self._read)  # what was read before is known
            for line in file:
                if line.endswith(b"\n"):  # else another process is at it
                    self._read += len(line)
                    with contextlib.suppress(ValueError):  # the end of a full disk
                        self._tags |= json.loads(line)
        return dict(self._tags)

    def _note(self, tags: dict[str, Any]) -> None:
        if tags:
            # One write, at the end of the file: other processes add to it, too.
            lines = "".join(json.dumps({name: tag}) + "\n" for name, tag in tags.items()).encode()
            with self._lock, open(self.root / _SEEN, "ab", buffering=0) as file:
                file.write(lines)
