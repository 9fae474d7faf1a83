"""A run's rewritten texts as training sets: encoded, with the teacher's logits, and what they cost."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.cost import Cost
from bench.data.encode import Encoded
from bench.data.tasks import Example, Task
from bench.files import digest
from bench.locks import alone
from bench.observer import Observer
from bench.rewriter import Corpus, Forms, Rewriter
from bench.rewriting.context import FolderOf, context_for
from bench.rewriting.engine import rewrite_all
from bench.rewriting.identity import identity

_LONGEST_REASON = 80
_ROWS_AT_ONCE = 100_000
"""Of so many rows the rewriting takes long beside the start of the processes that do it."""


Answers = Callable[[Encoded], tuple[np.ndarray, float]]
"""From word pieces to the teacher's logits [N, C], and the seconds that these took."""


@dataclass(frozen=True)
class TrainingSet:
    """One form of every training row, in the clean rows' order, with the teacher's logits [N, C].

    Making word pieces of them took ``encode_seconds``, and the teacher's answers, now or before, ``teacher_seconds``.
    """

    texts: Encoded
    teacher_logits: np.ndarray | None
    weight: float = 1.0
    encode_seconds: float = 0.0
    teacher_seconds: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the set as a checkpoint keeps it."""
        logits = None if self.teacher_logits is None else torch.from_numpy(np.array(self.teacher_logits))
        return {"texts": self.texts.tensors(), "teacher_logits": logits, "weight": self.weight}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TrainingSet:
        """Return the set that ``state_dict`` was of."""
        logits = state["teacher_logits"]
        return cls(Encoded.from_tensors(state["texts"]), None if logits is None else logits.numpy(), state["weight"])


def training_sets(
    rows: Sequence[Example],
    forms: Sequence[Forms],
    encode: Callable[[Sequence[Example]], Encoded],
    answers: Answers | None,
) -> list[TrainingSet]:
    """Return one training set for each form that every one of ``rows`` has."""
    copies = len(forms[0])
    sets = []
    for copy in range(copies):
        texts = [dataclasses.replace(row, texts=own[copy]) for row, own in zip(rows, forms, strict=True)]
        start = time.perf_counter()
        encoded = encode(texts)
        encode_seconds = time.perf_counter() - start
        logits, teacher_seconds = (None, 0.0) if answers is None else answers(encoded)
        sets.append(TrainingSet(encoded, logits, 1 / copies, encode_seconds, teacher_seconds))
    return sets


@dataclass
class RewrittenSets:
    """The training sets of one rewriter and edition. ``seconds`` are what making their texts took, now or before."""

    sets: list[TrainingSet]
    seconds: float = 0.0
    queries: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    """Rows that stayed as they were, by the reason."""

    def charge(self, cost: Cost) -> None:
        """Add what the texts cost to ``cost``; the teacher's answers count though they may come from a cache."""
        cost.attack_queries += self.queries
        cost.seconds["rewrite"] += self.seconds  # type: ignore[assignment]  # Counter is typed for int
        cost.rewritten.update(self.counts)
        cost.failures.update(self.failures)
        for one in self.sets:
            cost.rewritten["truncated"] += one.texts.truncated
            cost.seconds["rewrite_encode"] += one.encode_seconds  # type: ignore[assignment]
            cost.seconds["rewrite_teacher"] += one.teacher_seconds  # type: ignore[assignment]
            if one.teacher_logits is not None:
                cost.forwards["teacher"] += len(one.texts)


@dataclass(frozen=True)
class RewrittenTexts:
    """Rewrites one run's training ``rows`` and has the teacher answer them.

    Rewriters whose worker processes take seconds to start are asked for the texts of many of the ``epochs`` at once.
    ``folder_of`` gives the folder and digest of a model that rewriters read; ``encode`` and ``teacher_logits`` turn
    texts into word pieces and those into logits.
    """

    name: str
    task: Task
    rows: Sequence[Example]
    folder_of: FolderOf
    encode: Callable[[Sequence[Example]], Encoded]
    teacher_logits: Answers | None
    cache: Path
    observer: Observer
    seed: int = 0
    workers: int | None = None
    device: str = "cpu"
    epochs: int = 1
    corpus: Callable[[], Corpus] = lambda: Corpus(())

    def rewritten(self, rewriter: Rewriter, edition: int) -> RewrittenSets:
        """Return the training sets that ``rewriter`` makes for ``edition``."""
        maker = rewriter.at(edition)
        context = context_for(maker, self.task, self.folder_of, self.device, self.rows, self.corpus)
        texts_of = digest(identity(maker, context, self.seed, edition))
        # Of several runs that want the same texts one makes them, and the others find them in the cache.
        with alone(self.cache / "rewrites" / texts_of, self.observer, f"the texts of {self.name}"):
            texts = rewrite_all(
                maker,
                self.rows,
                context,
                name=self.name,
                seed=self.seed,
                edition=edition,
                ahead=self._ahead(rewriter, edition),
                workers=self.workers,
                cache=self.cache,
                observer=self.observer,
            )
        sets = training_sets(self.rows, texts.forms, self.encode, self.teacher_logits)
        counts = Counter(texts.outcomes)
        counts.update(rows=len(self.rows), forms=len(self.rows) * len(sets), failed=len(texts.failed))
        # What comes after a colon is a row's own: the error's words, or the last ones of a process that died.
        failures = Counter(why.partition(":")[0][:_LONGEST_REASON] for why in texts.failed.values())
        return RewrittenSets(sets, texts.work_seconds, texts.queries, counts, failures)

    def _ahead(self, rewriter: Rewriter, edition: int) -> list[int]:
        """Return the editions that come after ``edition`` and can be made now: none that depend on the student then."""
        if not rewriter.libraries or "student" in rewriter.reads():
            return []
        later = {rewriter.edition(epoch) for epoch in range(edition + 1, self.epochs)}
        return sorted(one for one in later if one > edition)[: max(0, _ROWS_AT_ONCE // len(self.rows) - 1)]
