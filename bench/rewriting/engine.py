"""Offline rewriting of a training set by a strategy: each row with its own random generator, each only once."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import time
import uuid
from collections import Counter
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.code import sources, version
from bench.data.tasks import Example
from bench.errors import BenchError
from bench.files import whole_file, write_json
from bench.observer import Observer
from bench.registry import load, strategy_file
from bench.rewriting.workers import Job, Made, in_this_process, in_workers
from bench.spec import StrategySpec
from bench.strategy import Context, Forms, Strategy

FORMAT = 1
"""Part of what rewrites are cached by: raise it when this module makes other rewrites of the same rows."""

# Starting processes takes as long as rewriting about so many rows without a library.
_FEW_ROWS = 4000
_ROWS_WORTH_A_WORKER = 4
_GIVE_UP_AFTER = 50
_FLUSH_SECONDS = 5.0
_COLUMNS = ("key", "outcome", "queries", "seconds", "failed")


@dataclass
class Rewritten:
    """Rewritten rows: ``forms`` of each example, equally many each.

    ``failed`` says of a row why it was kept as it was. ``outcomes`` counts the rows by ``Attacked.outcome``,
    ``queries`` what models were asked. ``cached`` rows were made before; ``seconds`` is what this call took, and
    ``work_seconds`` what making the rows took in all, then or now, summed over processes; importing libraries and
    loading models is left out, so that it does not grow with the number of processes.
    """

    forms: list[Forms]
    failed: dict[int, str]
    outcomes: Counter[str]
    queries: int
    cached: int
    seconds: float
    work_seconds: float


def rewrite_all(
    strategy: Strategy,
    examples: Sequence[Example],
    context: Context,
    *,
    seed: int = 0,
    edition: int = 0,
    workers: int | None = None,
    cache: Path | None = None,
    observer: Observer | None = None,
    row_seconds: float = 60.0,
) -> Rewritten:
    """Return what ``strategy`` makes of ``examples``.

    A row's random generator is a function of (seed, edition, its texts), so neither order nor ``workers`` (the
    number of processes; by default one a core) matters, and equal rows are rewritten once. Strategies with
    ``libraries`` run in processes of their own, where a row may take ``row_seconds``; others do where there are
    many rows. Rows that raise, hang or kill their process stay as they are. What is finished goes to ``cache`` every
    few seconds, so interrupted work goes on where it stopped.

    Raises BenchError where no row could be rewritten, where a worker cannot start, and, naming the example, where a
    strategy returns another number of forms or texts.
    """
    started = time.perf_counter()
    job = Job(strategy, context, seed, edition)
    keys = [_row_key(example) for example in examples]
    repeats = Counter(keys)
    store = None if cache is None else _Store(cache, identity(strategy, context, seed, edition), observer)
    known = {} if store is None else store.read(repeats)
    cached = done = sum(repeats[key] for key in known)
    todo = list({key: example for key, example in zip(keys, examples, strict=True) if key not in known}.items())
    count = next((len(made.forms) for made in known.values() if made.failed is None), 0)
    shown = -math.inf
    with contextlib.ExitStack() as at_the_end:
        if store is not None:
            at_the_end.callback(store.flush)
        results = at_the_end.enter_context(
            contextlib.closing(_results(job, [example for _, example in todo], workers, row_seconds))
        )
        for number, made in results:
            key, example = todo[number]
            if made.failed is None and len(made.forms) != (count := count or len(made.forms)):
                raise BenchError(
                    f"{job.name}: rewrite() made {len(made.forms)} forms of example {example.id} and {count} of "
                    "others; every row needs equally many"
                )
            known[key] = made
            if store is not None:
                store.add(key, made)
            done += repeats[key]
            if observer is not None and (time.monotonic() > shown + 0.2 or done == len(keys)):
                observer.update("rewrite", done, len(keys))
                shown = time.monotonic()
            if not count and len(known) >= _GIVE_UP_AFTER:
                break
    failed = {row: why for row, key in enumerate(keys) if key in known and (why := known[key].failed) is not None}
    if failed:
        first = min(failed)
        reason = f"the first is example {examples[first].id}: {failed[first]}"
        if not count:
            raise BenchError(f"{job.name} failed on every row it was given ({len(failed):,}); {reason}")
        if observer is not None:
            observer.note(f"{job.name}: {len(failed):,} of {len(keys):,} rows failed and stay as they are; {reason}")
    times = [made.seconds for made in known.values() if made.seconds is not None]
    return Rewritten(
        forms=[
            list(known[key].forms) or [tuple(example.texts)] * count
            for key, example in zip(keys, examples, strict=True)
        ],
        failed=failed,
        outcomes=Counter(outcome for key in keys if (outcome := known[key].outcome) is not None),
        queries=sum(made.queries for made in known.values()),
        cached=cached,
        seconds=time.perf_counter() - started,
        work_seconds=sum(times) / len(times) * len(known) if times else 0.0,
    )


def _results(
    job: Job, examples: Sequence[Example], workers: int | None, row_seconds: float
) -> Generator[tuple[int, Made], None, None]:
    """Yield (row, what became of it) from wherever ``job`` is best done."""
    count = workers
    if count is None:
        # Several copies of a model on one accelerator would only be in each other's way.
        on_accelerator = job.strategy.reads() and job.context.device != "cpu"
        count = 1 if on_accelerator else min(os.cpu_count() or 1, math.ceil(len(examples) / _ROWS_WORTH_A_WORKER))
    if examples and (job.strategy.libraries or (count > 1 and len(examples) >= _FEW_ROWS)):
        return in_workers(job, examples, max(1, count), row_seconds)
    return in_this_process(job, examples, row_seconds)


def _row_key(example: Example) -> str:
    """Return the digest of all that a row's rewrite may depend on: an attack also asks for its label."""
    content = json.dumps([*example.texts, repr(example.label)])
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def identity(strategy: Strategy, context: Context, seed: int, edition: int) -> dict[str, Any]:
    """Return what the rewrites of any row depend on besides the row, for people to read and for a cache to hash."""
    if strategy.spec:
        described, classes = _described(StrategySpec.parse(strategy.spec))
    else:
        described = {"name": type(strategy).__qualname__, "options": dataclasses.asdict(strategy)}
        classes = [type(strategy)]
    task = context.task
    texts = hashlib.sha256(json.dumps([list(texts) for texts in context.texts]).encode()).hexdigest()
    return {
        "format": FORMAT,
        "strategy": described,
        "code": sources(classes),
        "libraries": {name: version(name) for name in strategy.libraries},
        "seed": seed,
        "edition": edition,
        "task": {"name": task.name, "texts": task.texts, "labels": task.labels, "changeable": task.changeable},
        "models": {**context.models, **context.digests},
        "texts": texts if context.texts else None,
    }


def _described(spec: StrategySpec) -> tuple[dict[str, Any], list[type]]:
    """Return the name of ``spec`` and of what it wraps, every option that texts depend on, and the classes."""
    cls = load(spec.name)
    inner = [_described(part) for part in spec.inner]
    # A file counts by what is in it, wherever it lies.
    name = spec.name if strategy_file(spec.name) is None else spec.name.rpartition(":")[2]
    options = dataclasses.replace(spec, inner=()).effective()
    own = {"name": name, "options": {key: options[key] for key in options if key not in cls.options_of_views}}
    told = {**own, "of": [part for part, _ in inner]} if inner else own
    return told, [cls, *(each for _, classes in inner for each in classes)]


class _Store:
    """Rewritten rows on disk, ``cache/augment/<key>/*.parquet``: one line a form, under the row's key.

    Parts are whole and have names of their own, so that several processes may write at once.
    """

    def __init__(self, cache: Path, identity: dict[str, Any], observer: Observer | None) -> None:
        text = json.dumps(identity, sort_keys=True, default=str)
        self._folder = cache / "augment" / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._observer = observer
        self._pending: list[tuple[str, Made]] = []
        self._started = self._flushed = time.monotonic()
        self._worked = False
        if not (self._folder / "card.json").exists():
            write_json(self._folder / "card.json", json.loads(json.dumps(identity, default=str)))

    def read(self, wanted: Collection[str]) -> dict[str, Made]:
        """Return the rows at hand of those ``wanted``; an unreadable part is set aside, with a note."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        found: dict[str, Made] = {}
        for part in sorted(self._folder.glob("*.parquet")):
            try:
                table = pq.ParquetFile(part, page_checksum_verification=True).read()
                columns = [table[name].to_pylist() for name in _COLUMNS]
                sides = [table[name].to_pylist() for name in table.column_names if name not in _COLUMNS]
            except (pa.ArrowException, OSError, KeyError) as error:
                with contextlib.suppress(OSError):
                    os.replace(part, part.with_suffix(".corrupt"))
                if self._observer is not None:
                    self._observer.note(f"damaged rewrites set aside, to be made again: {part} ({error})")
                continue
            part_rows: dict[str, Made] = {}
            for line, (key, outcome, queries, seconds, failed) in enumerate(zip(*columns, strict=True)):
                if key in wanted:
                    made = part_rows.setdefault(key, Made([], outcome, queries, seconds, failed))
                    if failed is None:
                        made.forms.append(tuple(side[line] for side in sides))
            # Where two processes made one row and only one succeeded, that counts.
            found |= {key: made for key, made in part_rows.items() if key not in found or made.failed is None}
        self._worked = any(made.failed is None for made in found.values())
        return found

    def add(self, key: str, made: Made) -> None:
        """Take a row; at most a twentieth of the time that all took is lost when the power fails."""
        self._pending.append((key, made))
        self._worked |= made.failed is None
        now = time.monotonic()
        if now - self._flushed > max(_FLUSH_SECONDS, (now - self._started) / 20):
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet, but no failures of a strategy that has not succeeded once."""
        if not self._pending or not self._worked:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        sides = max(len(form) for _, made in self._pending for form in [*made.forms, ()])
        nothing: Any = (None,) * sides
        lines = [
            (key, made.outcome, made.queries, made.seconds, made.failed, *form)
            for key, made in self._pending
            for form in (made.forms or [nothing])
        ]
        kinds = [pa.string(), pa.string(), pa.int64(), pa.float64(), pa.string(), *[pa.string()] * sides]
        names = [*_COLUMNS, *(f"text_{side}" for side in range(sides))]
        arrays = [pa.array(column, kind) for column, kind in zip(zip(*lines, strict=True), kinds, strict=True)]
        table = pa.table(dict(zip(names, arrays, strict=True)))
        with whole_file(self._folder / f"{uuid.uuid4().hex}.parquet") as part:
            pq.write_table(table, part, compression="zstd", write_page_checksum=True)
        self._pending, self._flushed = [], time.monotonic()
