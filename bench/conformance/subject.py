"""The strategy under check: fresh copies of it, the made tasks it takes, and what it makes of their rows."""

from __future__ import annotations

import pickle
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from bench.conformance.tiny_tasks import ODD, PAIR, TASKS, TinyTask, rngs
from bench.data.tasks import Example
from bench.errors import BenchError
from bench.rewriter import Attacked, Forms, Rewriter
from bench.rewriting.engine import Rewritten, rewrite_all
from bench.rewriting.job import Job
from bench.rewriting.training_sets import Rewritten as TrainingTexts
from bench.rewriting.training_sets import training_sets
from bench.rewriting.workers import in_workers
from bench.spec import StrategySpec
from bench.strategy import Models, Strategy

T = TypeVar("T")

_ROW_SECONDS = 20.0  # of CPU time


class Failed(Exception):
    """The strategy does not satisfy a check; the message says what was seen and what to do."""


class Skipped(Exception):
    """A check does not apply to the strategy; the message says why."""


class Subject:
    """A strategy to check, by its spec. ``folder`` takes models and checkpoints, and is the caller's to remove."""

    def __init__(self, spec: StrategySpec, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self._kept: dict[str, Any] = {}

    def create(self) -> Strategy:
        """Return a fresh strategy."""
        return self.spec.create()

    @cached_property
    def refused(self) -> dict[str, str]:
        """The made tasks that the strategy does not support, by title, and why."""
        reasons = {task.title: self.create().supports(task) for task in TASKS}
        return {title: reason for title, reason in reasons.items() if reason is not None}

    @cached_property
    def grounds(self) -> list[TinyTask]:
        """The made tasks that the strategy is checked on."""
        found = [TinyTask(task, self.folder) for task in TASKS if task.title not in self.refused]
        if self.has_libraries:
            # Its worker processes take long to start, and texts are rewritten one by one: a pair shows all.
            found = [ground for ground in found if ground.task is PAIR] or found[:1]
        if not found:
            raise Skipped("it supports none of the made tasks")
        return found

    @cached_property
    def has_libraries(self) -> bool:
        """Whether it rewrites with a library that this process must not import."""
        return any(maker.libraries for maker in self.create().rewriters())

    def rewriters(self) -> list[tuple[TinyTask, int]]:
        """Return every made task with the number of every rewriter; Skipped where there is none."""
        count = len(self.create().rewriters())
        if not count:
            raise Skipped("it rewrites no texts")
        return [(ground, number) for ground in self.grounds for number in range(count)]

    def rewriter(self, number: int) -> Rewriter:
        """Return the rewriter ``number`` of a fresh strategy."""
        return self.create().rewriters()[number]

    def remember(self, key: str, make: Callable[[], T]) -> T:
        """Return what ``make()`` returned when it was first asked for; Skipped where it failed then."""
        if key not in self._kept:
            try:
                self._kept[key] = make()
            except Exception:
                self._kept[key] = Skipped("it needs what failed above")
                raise
        if isinstance(self._kept[key], Skipped):
            raise self._kept[key]
        return self._kept[key]

    def engine(self, ground: TinyTask, number: int, *, again: bool = False) -> Rewritten:
        """Return what the harness's own engine makes of the rows: in one worker process if there are libraries.

        ``again`` does it once more for the short rows: in two and from the last row to the first.
        """

        def make() -> Rewritten:
            maker = self.rewriter(number)
            rows = ground.short[::-1] if again else ground.examples
            context = ground.context(maker)
            made = rewrite_all(
                maker, rows, context, name=str(self.spec), workers=2 if again else 1, row_seconds=_ROW_SECONDS
            )
            if again:
                made.forms.reverse()
                made.failed = {len(rows) - 1 - row: why for row, why in made.failed.items()}
            return made

        return self.remember(f"engine {ground.task.name} {number} {again}", make)

    def in_a_worker(self, ground: TinyTask, number: int) -> list[Forms]:
        """Return what a worker process makes of the short rows of a strategy for which the engine starts none."""
        maker = self.rewriter(number)
        job = Job(maker, ground.context(maker), seed=0, edition=0, name=str(self.spec))
        with closing(in_workers(job, ground.short, 1, _ROW_SECONDS)) as results:
            made = dict(results)
        return [made[row].forms or [example.texts] for row, example in enumerate(ground.short)]

    def rewrite(
        self, ground: TinyTask, maker: Rewriter, rows: Sequence[Example], seed: int = 0, models: Models | None = None
    ) -> list[Forms]:
        """Return what ``maker`` makes of ``rows`` in this process."""
        context = ground.context(maker, None if models is None else models.student)
        made = maker.rewrite(rows, rngs(rows, seed), context)
        if len(made) != len(rows):
            raise Failed(f"rewrite() returned {len(made)} lists of forms for {len(rows)} examples; return one for each")
        return [one.forms if isinstance(one, Attacked) else one for one in made]

    def alone(self, ground: TinyTask, number: int) -> dict[int, Forms | Exception]:
        """Return what becomes of each row, by its id, when a fresh rewriter is given it alone, in this process."""

        def make() -> dict[int, Forms | Exception]:
            found: dict[int, Forms | Exception] = {}
            for row in ground.examples:
                try:
                    with own_global_state(0):
                        (found[row.id],) = self.rewrite(ground, self.rewriter(number), [row])
                except Exception as error:  # noqa: BLE001 - what a strategy may raise is not known; it is reported
                    found[row.id] = error
            errors = [error for error in found.values() if isinstance(error, Exception)]
            if len(errors) == len(found):
                raise Failed(f"no row of the {ground.task.title} can be rewritten: {told(errors[0])}")
            return found

        return self.remember(f"alone {ground.task.name} {number}", make)

    def crashes(self, ground: TinyTask, number: int) -> dict[int, str]:
        """Return the rows, by id, that cannot be rewritten, and why."""
        if self.has_libraries:
            return {ground.examples[row].id: why for row, why in self.engine(ground, number).failed.items()}
        alone = self.alone(ground, number)
        return {row: told(error) for row, error in alone.items() if isinstance(error, Exception)}

    def rows(self, ground: TinyTask, number: int) -> list[Example]:
        """Return the short rows that can be rewritten at all, so that one bad text fails one check only."""
        crashed = self.crashes(ground, number)
        return [row for row in ground.short if row.id not in crashed]

    def forms(self, ground: TinyTask, number: int) -> list[Forms]:
        """Return the forms of every row of ``ground``; as in a run, a row that cannot be rewritten stays as it is."""

        def make() -> list[Forms]:
            if self.has_libraries:
                return self.engine(ground, number).forms
            made = {row: forms for row, forms in self.alone(ground, number).items() if not isinstance(forms, Exception)}
            return self._whole(ground, made)

        return self.remember(f"forms {ground.task.name} {number}", make)

    def forms_beside(self, ground: TinyTask, number: int, maker: Rewriter, edition: int, models: Models) -> list[Forms]:
        """Return the forms that ``maker``, rewriter ``number``, makes for ``edition`` beside a student in training."""
        usual = self.forms(ground, number)
        if self.has_libraries or (edition == 0 and "student" not in maker.reads()):
            return usual
        rows = self.rows(ground, number)
        with own_global_state(0):
            made = self.rewrite(ground, maker, rows, edition, models)
        before = {row.id: forms for row, forms in zip(ground.examples, usual, strict=True)}
        return self._whole(ground, {**before, **{row.id: forms for row, forms in zip(rows, made, strict=True)}})

    def _whole(self, ground: TinyTask, made: dict[int, Forms]) -> list[Forms]:
        """Return the forms of every row from those ``made``, by id; Failed where they are no training sets."""
        wanted = len(next(iter(made.values())))
        for row in ground.examples:
            forms = made.get(row.id, [row.texts] * wanted)
            if len(forms) != wanted or not forms:
                raise Failed(
                    f"rewrite() made {len(forms)} forms of {shown(row)}, but {wanted} of others; make as many of "
                    f"every row (repeat the original where there is nothing to change)"
                )
            for form in forms:
                if not isinstance(form, tuple) or len(form) != len(row.texts):
                    raise Failed(f"a form of {shown(row)} is {cut(repr(form))}, not a tuple of {len(row.texts)} texts")
                if not all(isinstance(text, str) for text in form):
                    raise Failed(f"a form of {shown(row)} holds something else than text: {cut(repr(form))}")
        return [made.get(row.id, [row.texts] * wanted) for row in ground.examples]

    def texts(self, strategy: Strategy, ground: TinyTask, models: Models) -> TinyTexts:
        """Return what the training loop asks for rewritten texts, as a run would make them."""
        return TinyTexts(self, strategy, ground, models)


@dataclass
class TinyTexts:
    """The rewritten texts of a tiny task beside a student in training."""

    subject: Subject
    strategy: Strategy
    ground: TinyTask
    models: Models

    def rewritten(self, rewriter: Rewriter, edition: int) -> TrainingTexts:
        """Return the training sets that ``rewriter`` makes for ``edition``."""
        number = next(i for i, one in enumerate(self.strategy.rewriters()) if one is rewriter)
        forms = self.subject.forms_beside(self.ground, number, rewriter, edition, self.models)
        logits = None if self.models.teacher is None else self.ground.teacher_logits
        return TrainingTexts(training_sets(self.ground.examples, forms, self.ground.encode, logits))


def told(error: Exception) -> str:
    """Return ``error`` in a line, with the place in the code that raised it where it is no message for people."""
    if isinstance(error, Failed | BenchError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({Path(last.filename).name}:{last.lineno})"


def shown(row: Example) -> str:
    """Return what a person knows ``row`` by."""
    odd = [name for name, text in ODD.items() if text in row.texts]
    return f"row {row.id} ({odd[0]})" if odd else f"row {row.id} ({cut(str(row.texts), 40)})"


def cut(text: str, most: int = 160) -> str:
    """Return ``text``, cut to what fits a line."""
    return text if len(text) <= most else f"{text[:most]}…"


def global_states() -> dict[str, bytes]:
    """Return the global random states of this process by library."""
    return {
        "random": pickle.dumps(random.getstate()),
        "numpy.random": pickle.dumps(np.random.get_state()),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


@contextmanager
def own_global_state(seed: int) -> Iterator[None]:
    """Inside, the global random states start from ``seed``; outside they are as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
