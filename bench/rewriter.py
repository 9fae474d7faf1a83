"""The contract of what makes texts: rewriters, whose texts strategies train on, and writers of new rows."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data.tasks import Example, Task
    from bench.models.inputs import Role
    from bench.observer import Observer

Forms = list[tuple[str, ...]]
"""The rewritten forms of one row, each with as many texts as the row has."""

Reads = Literal["student", "teacher", "generator", "texts", "corpus"]
"""What a rewriter may read: a model's folder, the task's training texts, or those of all tasks at hand."""


@dataclass
class Attacked:
    """What an adversary that questions a model reports of a row: its forms, and how the attack went.

    ``outcome`` is "success", "failure", "skipped" (the model was wrong already) or "left out" (not in the budget);
    ``queries`` counts the texts the model was asked about.
    """

    forms: Forms
    outcome: str
    queries: int = 0


@dataclass(frozen=True, eq=False)
class Corpus:
    """The training texts of all tasks at hand, each once and one by one, without the texts ``held_out``.

    Those are the task's own that it is scored on (dev, test): what comes from elsewhere must not bring them back.
    """

    texts: Sequence[str]
    held_out: Set[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Context:
    """What a rewriter may use besides a row and its random generator: picklable, it travels to worker processes.

    ``models`` holds, for every role in the rewriter's ``reads()``, the folder of that model and its tokenizer as
    ``from_pretrained`` takes it; the student's is a snapshot. ``digests`` identify their contents. ``texts`` are
    the task's training texts, and ``ids`` those rows' ids, where the rewriter reads "texts" (TF-IDF).
    ``corpus`` is there where it reads "corpus". What it has worked out may be kept in folders of ``cache``, by all
    that it depends on; None: nowhere.
    """

    task: Task
    models: Mapping[Role, str] = field(default_factory=dict)
    digests: Mapping[Role, str] = field(default_factory=dict)
    device: str = "cpu"
    texts: Sequence[tuple[str, ...]] = ()
    ids: Sequence[int] = ()
    corpus: Corpus | None = None
    cache: Path | None = None

    @cached_property
    def places(self) -> Mapping[int, int]:
        """The place of each training row among ``texts``, by its id."""
        return {id: place for place, id in enumerate(self.ids)}


class Rewriter:
    """Makes texts of training rows. Its class and its dataclass fields are its identity in the cache.

    ``libraries`` are the distributions it works with: their versions belong to its identity, and they are only ever
    imported in worker processes. ``refresh`` says every how many epochs the texts are made anew; 0: once per run.
    ``by_id``: what it makes of a row depends on the row's id too, so that equal rows may get different forms.
    """

    libraries: ClassVar[tuple[str, ...]] = ()
    by_id: ClassVar[bool] = False
    refresh: int = 0

    @property
    def forms(self) -> int:
        """How many forms of each row it makes, at least."""
        return 1

    def reads(self) -> tuple[Reads, ...]:
        """Return what ``rewrite`` wants in its context."""
        return ()

    def files(self, task: Task) -> tuple[str, ...]:
        """Return the files and model folders that what it makes of ``task`` depends on: a changed one is another run.

        A model of the hub, which is no folder, counts by its name.
        """
        return ()

    def prepare(self, examples: Sequence[Example], context: Context, observer: Observer) -> None:
        """Work out once, before ``examples`` are rewritten here or in worker processes, what all of them need.

        What is kept in the context's cache is there for the workers, and depends on neither seed nor edition.
        ``rewrite`` must give the same without this call.
        """

    def rewrite(
        self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context
    ) -> Sequence[Forms | Attacked]:
        """Return the rewritten forms of each example, equally many for every example.

        A pure function of each (example, its random generator) and the context: how rows are grouped into calls
        must not matter. Global random state may be used only by rewriters with ``libraries``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no rewrite()")

    def edition(self, epoch: int) -> int:
        """Return the first epoch (from 0) that trains on the same texts as ``epoch``."""
        return epoch - epoch % self.refresh if self.refresh else 0

    def at(self, edition: int) -> Rewriter:
        """Return who makes the texts of ``edition``: itself, unless a first edition is made in another way."""
        return self


class Writer(Rewriter):
    """Makes rows that belong to no training row: samples of a language model, sentences from elsewhere.

    There are as many as training rows, each a function of its own random generator; the teacher labels them.
    """

    by_id = True

    def write(self, rngs: Sequence[random.Random], context: Context) -> Sequence[tuple[str, ...]]:
        """Return one row for each random generator, with as many texts as the task's rows have."""
        raise NotImplementedError(f"{type(self).__name__} has no write()")

    def rewrite(self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context) -> Sequence[Forms]:
        """Return one written row in the place of each example's forms."""
        return [[row] for row in self.write(rngs, context)]


def dealt(pool: Sequence[tuple[str, ...]], examples: Sequence[Example], context: Context) -> list[Forms]:
    """Return rows of ``pool`` as forms of ``examples``: dealt out to all training rows in turn until all are used.

    There are as many forms of each training row as that takes, and a few rows of the pool are used once more than
    the others. ``context`` is that of a rewriter that reads "texts".
    """
    rows = len(context.ids)
    rounds = range(-(-len(pool) // rows))
    return [[pool[(rows * n + context.places[example.id]) % len(pool)] for n in rounds] for example in examples]
