"""Offline rewriting of a training set: each row with its own random generator, each only once."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.data.tasks import Example
from bench.errors import BenchError
from bench.files import digest
from bench.observer import Observer, Silent
from bench.rewriter import Context, Forms, Rewriter
from bench.rewriting.identity import identity
from bench.rewriting.job import Job, Row, RowResult
from bench.rewriting.store import Store, preparing
from bench.rewriting.workers import CHUNK_SECONDS, Pool, in_this_process, in_workers

# Starting processes takes as long as rewriting about so many rows without a library.
_FEW_ROWS = 4000
_ROWS_WORTH_A_WORKER = 4
_GIVE_UP_AFTER = 50
_ONE = ("seed", "edition")
_REPORT_SECONDS = 0.2


@dataclass
class Rewritten:
    """A training set after rewriting: the ``forms`` of each row, equally many per row.

    ``failed`` holds, by row, why a row could not be rewritten; its forms are its own texts. ``outcomes`` counts the
    rows by ``Attacked.outcome``, and ``queries`` the texts that models were asked about. ``cached`` is the number of
    rows that an earlier call had rewritten. ``seconds`` is how long this call took. ``work_seconds`` is how long
    preparing and rewriting the rows took, now or in the earlier call, summed over processes; of rewriting it leaves
    out importing libraries and loading models, which take longer the more processes there are. ``rows`` holds what
    became of each row.
    """

    forms: list[Forms]
    failed: dict[int, str]
    outcomes: Counter[str]
    queries: int
    cached: int
    seconds: float
    work_seconds: float
    rows: list[RowResult]


def rewrite_all(
    rewriter: Rewriter,
    examples: Sequence[Example],
    context: Context,
    *,
    name: str | None = None,
    seed: int = 0,
    edition: int = 0,
    ahead: Sequence[int] = (),
    workers: int | None = None,
    cache: Path | None = None,
    observer: Observer | None = None,
    row_seconds: float = 60.0,
    chunk_seconds: float = CHUNK_SECONDS,
    pool: Pool | None = None,
    doing: str = "rewrite",
) -> Rewritten:
    """Return what ``rewriter`` makes of ``examples``; ``name`` is what messages call it.

    A row's random generator is a function of (seed, edition, its texts), so neither order nor ``workers`` (the
    number of processes; by default one per core) matters, and equal rows are rewritten once. Rewriters with
    ``libraries`` run in processes of their own, where a row may take ``row_seconds`` of CPU time; others do where
    there are many rows. As these take seconds to start, they go on to the editions in ``ahead``, whose rows later
    calls find in ``cache``. Rows that raise, hang or kill their process stay as they are. What is finished goes to
    ``cache`` every few seconds, so that interrupted work goes on where it stopped. There, too, is kept which rows
    raised; rows that cost a process its life, by the time they took or otherwise, are tried again by the next call.
    Processes are given rows for about ``chunk_seconds`` at once, come from ``pool`` and go back there, if there is one.
    ``doing`` is what the ``observer`` is told is going on.

    Raises BenchError where half of the rows or more cannot be rewritten, where a worker cannot start, and, naming
    the example, where a rewriter returns another number of forms or texts.
    """
    started = time.perf_counter()
    observer = observer or Silent()
    context = replace(context, cache=cache)
    job = Job(rewriter, context, seed, name or type(rewriter).__name__)
    # All that a row's rewrite may depend on: an attack also asks for its label.
    by_id = rewriter.by_id
    keys = [digest(*row.texts, repr(row.label), *([row.id] if by_id else [])) for row in examples]
    repeats = Counter(keys)
    stores: dict[int, Store] = {}

    def stored(one: int) -> dict[str, RowResult]:
        """What the cache has of the edition ``one``, whose store is open from now on."""
        if cache is None:
            return {}
        stores[one] = Store(cache, identity(rewriter, context, seed, one), context.task, observer)
        return stores[one].read(repeats)

    results = stored(edition)
    cached = done = sum(repeats[key] for key in results)
    by_key = dict(zip(keys, examples, strict=True))
    todo = [(edition, key) for key in by_key if key not in results]
    successes = [key for key, result in results.items() if result.failed is None]
    count = len(results[successes[0]].forms) if successes else 0
    for one in ahead if stores and todo else ():
        there = stored(one)
        todo += [(one, key) for key in by_key if key not in there]
    seen, to_see, reported = done, done + sum(repeats[key] for _, key in todo), -math.inf
    if todo and successes and rewriter.libraries:
        # What is left may be rows that never end. One that does, first, tells workers how long loading takes.
        todo.insert(0, (edition, successes[0]))
    prepared = 0.0
    if todo:
        began = time.perf_counter()
        rewriter.prepare(list({key: by_key[key] for _, key in todo}.values()), context, observer)
        prepared = time.perf_counter() - began
    if cache is not None:
        of_all = {key: value for key, value in identity(rewriter, context, seed, edition).items() if key not in _ONE}
        # Every run trains on what was prepared, whichever prepared it, and counts it once: with its first texts.
        prepared = preparing(cache, of_all, prepared) * (edition == 0)
    with contextlib.ExitStack() as at_the_end:
        for store in stores.values():
            at_the_end.callback(store.flush)
        rows, limits = [(one, by_key[key]) for one, key in todo], (row_seconds, chunk_seconds)
        new_results = at_the_end.enter_context(contextlib.closing(_results(job, rows, workers, limits, pool)))
        for number, result in new_results:
            one, key = todo[number]
            example = by_key[key]
            if one == edition and key in results:
                continue
            if result.failed is None and len(result.forms) != (count := count or len(result.forms)):
                raise BenchError(
                    f"{job.name}: rewrite() made {len(result.forms)} forms of example {example.id} and {count} of "
                    "others; every row needs equally many"
                )
            if stores:
                stores[one].add(key, result)
            if one == edition:
                results[key] = result
                done += repeats[key]
            seen += repeats[key]
            if time.monotonic() > reported + _REPORT_SECONDS or seen == to_see:
                observer.update(doing, seen, to_see)
                reported = time.monotonic()
            if not count and len(results) >= _GIVE_UP_AFTER:
                break
    failed = {row: why for row, key in enumerate(keys) if key in results and (why := results[key].failed) is not None}
    if failed:
        first = min(failed)
        reason = f"the first is example {examples[first].id}: {failed[first]}"
        if 2 * len(failed) >= done:
            raise BenchError(f"{job.name} could not rewrite {len(failed):,} of {done:,} rows; {reason}")
        again = sum(not results[keys[row]].final for row in failed)
        observer.note(
            f"{job.name}: {len(failed):,} of {done:,} rows failed and stay as they are; {reason}"
            + (f" (the next command tries {again:,} of them again)" if again else "")
        )
    times = [result.seconds for result in results.values() if result.seconds is not None]
    return Rewritten(
        forms=[
            list(results[key].forms) or [tuple(example.texts)] * count
            for key, example in zip(keys, examples, strict=True)
        ],
        failed=failed,
        outcomes=Counter(outcome for key in keys if (outcome := results[key].outcome) is not None),
        queries=sum(result.queries for result in results.values()),
        cached=cached,
        seconds=time.perf_counter() - started,
        work_seconds=prepared + (sum(times) / len(times) * len(results) if times else 0.0),
        rows=[results[key] for key in keys],
    )


def _results(
    job: Job, todo: Sequence[Row], workers: int | None, limits: tuple[float, float], pool: Pool | None
) -> Generator[tuple[int, RowResult], None, None]:
    """Yield (row, what became of it) from wherever ``job`` is best done."""
    count = workers
    if count is None:
        # Several copies of a model on one accelerator would only be in each other's way.
        on_accelerator = set(job.rewriter.reads()) - {"texts"} and job.context.device != "cpu"
        count = 1 if on_accelerator else min(os.cpu_count() or 1, math.ceil(len(todo) / _ROWS_WORTH_A_WORKER))
    # Workers do not run the main script, so what is defined there stays here.
    many = count > 1 and len(todo) >= _FEW_ROWS and type(job.rewriter).__module__ != "__main__"
    if todo and (job.rewriter.libraries or many):
        return in_workers(job, todo, max(1, count), *limits, pool)
    return in_this_process(job, todo)
