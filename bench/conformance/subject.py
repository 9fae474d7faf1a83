"""The strategy under check: fresh copies of it, the tiny tasks it takes, and what its rewriters make of their rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from transformers import PreTrainedModel

from bench.conformance import Failed, Skipped, once, shortened
from bench.conformance.global_state import changed_since, global_states, own_global_state
from bench.conformance.tiny_tasks import ODD, PAIR, TASKS, TinyTask
from bench.data.tasks import Example
from bench.rewriter import Attacked, Forms, Rewriter
from bench.rewriting.engine import Rewritten, rewrite_all
from bench.rewriting.job import Job, RowResult, in_a_line
from bench.rewriting.workers import Pool, in_workers
from bench.spec import StrategySpec
from bench.strategy import Strategy

_ROW_SECONDS = 20.0  # of CPU time


class Subject:
    """A strategy to check, by its spec. ``folder`` takes models and checkpoints, and is the caller's to remove.

    Processes that rewrite come from ``pool`` and go back there, if there is one: importing libraries takes seconds.
    """

    def __init__(self, spec: StrategySpec, folder: Path, pool: Pool | None = None) -> None:
        self.spec, self.folder, self.pool = spec, folder, pool
        self._rewriters: dict[TinyTask, list[TaskRewriter]] = {}

    def create(self) -> Strategy:
        """Return a fresh strategy."""
        return self.spec.create()

    @cached_property
    def refused(self) -> dict[str, str]:
        """The tiny tasks that the strategy does not support, by title, and why."""
        reasons = {task.title: self.create().supports(task) for task in TASKS}
        return {title: reason for title, reason in reasons.items() if reason is not None}

    @once
    def tasks(self) -> list[TinyTask]:
        """The tiny tasks that the strategy is checked on."""
        supported = [TinyTask(task, self.folder) for task in TASKS if task.title not in self.refused]
        if self.has_libraries:
            # Its worker processes take long to start, and texts are rewritten one by one: a pair shows all.
            supported = [tiny for tiny in supported if tiny.task is PAIR] or supported[:1]
        if not supported:
            raise Skipped("it supports none of the tiny tasks")
        return supported

    @cached_property
    def has_libraries(self) -> bool:
        """Whether it rewrites with a library that this process must not import."""
        return any(rewriter.libraries for rewriter in self.create().rewriters())

    def rewriters_on(self, tiny: TinyTask) -> list[TaskRewriter]:
        """Return the strategy's rewriters, each on ``tiny``; always the same objects."""
        if tiny not in self._rewriters:
            count = len(self.create().rewriters())
            self._rewriters[tiny] = [TaskRewriter(self, tiny, number) for number in range(count)]
        return self._rewriters[tiny]

    def rewriters(self) -> list[TaskRewriter]:
        """Return every rewriter on every tiny task; Skipped where there is none."""
        rewriters = [one for tiny in self.tasks for one in self.rewriters_on(tiny)]
        if not rewriters:
            raise Skipped("it rewrites no texts")
        return rewriters


@dataclass(eq=False)
class TaskRewriter:
    """One rewriter of the strategy, by its place in ``Strategy.rewriters()``, on one tiny task.

    ``global_changes`` are the libraries whose global random state it changed in this process.
    """

    subject: Subject
    tiny: TinyTask
    place: int
    global_changes: list[str] = field(default_factory=list)
    _calls: int = 0

    def fresh(self) -> Rewriter:
        """Return the rewriter of a fresh strategy."""
        return self.subject.create().rewriters()[self.place]

    def rewrite(
        self,
        rows: Sequence[Example],
        rewriter: Rewriter | None = None,
        seed: int = 0,
        student: PreTrainedModel | None = None,
    ) -> list[Forms]:
        """Return what ``rewriter``, by default a fresh one, makes of ``rows`` in this process.

        The global random state is another one in every call.
        """
        rewriter = rewriter or self.fresh()
        rngs = [random.Random(f"{seed}/{row.id}") for row in rows]
        context = self.tiny.context(rewriter, student)
        self._calls += 1
        with own_global_state(self._calls):
            states = global_states()
            rewrites = rewriter.rewrite(rows, rngs, context)
            self.global_changes += changed_since(states)
        if len(rewrites) != len(rows):
            raise Failed(
                f"rewrite() returned {len(rewrites)} lists of forms for {len(rows)} examples; return one for each"
            )
        return [one.forms if isinstance(one, Attacked) else one for one in rewrites]

    @once
    def results(self) -> dict[int, Forms | str]:
        """The forms of each row, by its id, or why it cannot be rewritten: from the engine if there are libraries.

        Otherwise a fresh rewriter is given each row alone, in this process.
        """
        if self.subject.has_libraries:
            results: dict[int, Forms | str] = {
                row.id: self.engine.failed.get(number, forms)
                for number, (row, forms) in enumerate(zip(self.tiny.examples, self.engine.forms, strict=True))
            }
            return results
        results = {}
        for row in self.tiny.examples:
            try:
                (results[row.id],) = self.rewrite([row])
            except Exception as error:  # noqa: BLE001 - what a strategy may raise is not known; it is reported
                results[row.id] = in_a_line(error)
        reasons = [reason for reason in results.values() if isinstance(reason, str)]
        if len(reasons) == len(results):
            raise Failed(f"no row of the {self.tiny.task.title} can be rewritten: {reasons[0]}")
        return results

    @once
    def together(self) -> list[Forms]:
        """What a fresh rewriter makes of all ``rows`` in one call."""
        return self.rewrite(self.rows)

    @once
    def engine(self) -> Rewritten:
        """What the harness's own engine makes of the rows: in one worker process if there are libraries."""
        return self.by_engine(self.tiny.examples)

    def by_engine(self, rows: Sequence[Example], seed: int = 0, rewriter: Rewriter | None = None) -> Rewritten:
        """Return what the harness's own engine makes of ``rows`` by ``rewriter``, by default a fresh one."""
        rewriter, name = rewriter or self.fresh(), str(self.subject.spec)
        context = self.tiny.context(rewriter)
        return rewrite_all(
            rewriter,
            rows,
            context,
            name=name,
            seed=seed,
            workers=1,
            row_seconds=_ROW_SECONDS,
            pool=self.subject.pool,
        )

    def by_workers(self) -> list[RowResult]:
        """Return what two new processes make of the short rows when they are given from the last to the first."""
        rewriter, rows = self.fresh(), self.tiny.short[::-1]
        job = Job(rewriter, self.tiny.context(rewriter), seed=0, name=str(self.subject.spec))
        with closing(in_workers(job, [(0, row) for row in rows], 2, _ROW_SECONDS)) as results:
            by_row = dict(results)
        return [by_row[row] for row in reversed(range(len(rows)))]

    @cached_property
    def crashes(self) -> dict[int, str]:
        """The rows, by id, that cannot be rewritten, and why."""
        return {row: reason for row, reason in self.results.items() if isinstance(reason, str)}

    @property
    def rows(self) -> list[Example]:
        """The short rows that can be rewritten at all, so that one bad text fails one check only."""
        return [row for row in self.tiny.short if row.id not in self.crashes]

    @once
    def forms(self) -> list[Forms]:
        """The forms of every row; as in a run, a row that cannot be rewritten stays as it is."""
        return self._complete({row: forms for row, forms in self.results.items() if not isinstance(forms, str)})

    def forms_beside(self, rewriter: Rewriter, edition: int, student: PreTrainedModel) -> list[Forms]:
        """Return the forms that ``rewriter``, of a strategy in training, makes for ``edition`` beside ``student``."""
        if self.subject.has_libraries or (edition == 0 and "student" not in rewriter.reads()):
            return self.forms
        forms = {row.id: forms for row, forms in zip(self.tiny.examples, self.forms, strict=True)}
        again = self.rewrite(self.rows, rewriter, edition, student)
        return self._complete(forms | {row.id: forms for row, forms in zip(self.rows, again, strict=True)})

    def _complete(self, by_row: dict[int, Forms]) -> list[Forms]:
        """Return the forms of every row, by default its own texts; Failed where they are no training sets."""
        count = len(next(iter(by_row.values())))
        complete = [by_row.get(row.id, [row.texts] * count) for row in self.tiny.examples]
        for row, forms in zip(self.tiny.examples, complete, strict=True):
            if len(forms) != count or not forms:
                raise Failed(
                    f"rewrite() made {len(forms)} forms of {row_name(row)}, but {count} of others; make as many of "
                    f"every row (repeat the original where there is nothing to change)"
                )
            for form in forms:
                if not isinstance(form, tuple) or len(form) != len(row.texts):
                    what = f"not a tuple of {len(row.texts)} texts"
                    raise Failed(f"a form of {row_name(row)} is {shortened(repr(form))}, {what}")
                if not all(isinstance(text, str) for text in form):
                    raise Failed(f"a form of {row_name(row)} holds something else than text: {shortened(repr(form))}")
        return complete


def row_name(row: Example) -> str:
    """Return what a person knows ``row`` by."""
    odd = [name for name, text in ODD.items() if text in row.texts]
    return f"row {row.id} ({odd[0] if odd else shortened(str(row.texts), 40)})"
