"""Best of k: from a pool of ready-made rewrites, train on those from which the student has most to learn."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bench import Attacked, Batch, Context, Models, Rewriter, Strategy, View, option
from bench.errors import UsageError

if TYPE_CHECKING:
    import torch

    from bench import Example, Resource, Task
    from bench.observer import Observer
    from bench.rewriter import Reads


Score = Literal["kl", "teacher-sure-student-unsure", "student-loss"]


@dataclass(frozen=True)
class Pool(Rewriter):
    """Several independent rewrites of each row: at least ``size`` of them, all forms of as many calls as that takes."""

    inner: Rewriter
    size: int
    refresh: int = 0

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the rewrites are made with."""
        return self.inner.libraries

    @property
    def by_id(self) -> bool:  # type: ignore[override]
        """Whether equal rows may get different ones."""
        return self.inner.by_id

    @property
    def forms(self) -> int:
        """As many forms of each row as the calls that fill the pool make."""
        return -(-self.size // self.inner.forms) * self.inner.forms

    def reads(self) -> tuple[Reads, ...]:
        return self.inner.reads()

    def at(self, edition: int) -> Pool:
        return replace(self, inner=self.inner.at(edition))

    def prepare(self, examples: Sequence[Example], context: Context, observer: Observer) -> None:
        self.inner.prepare(examples, context, observer)

    def files(self, task: Task) -> tuple[str, ...]:
        return self.inner.files(task)

    def rewrite(self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context) -> list[Attacked]:
        pools = [Attacked([], "") for _ in examples]
        outcomes: list[Counter[str]] = [Counter() for _ in examples]
        while not pools or len(pools[0].forms) < self.size:
            own = [random.Random(rng.getrandbits(64)) for rng in rngs]
            for pool, outcome, row in zip(pools, outcomes, self.inner.rewrite(examples, own, context), strict=True):
                attacked = row if isinstance(row, Attacked) else Attacked(row, "")
                pool.forms += attacked.forms
                pool.queries += attacked.queries
                outcome[attacked.outcome] += 1
            if not pools or not pools[0].forms:  # no forms at all are refused where rows are checked
                break
        for pool, outcome in zip(pools, outcomes, strict=True):
            # One success among several attacks of a row is a success.
            pool.outcome = "success" if outcome["success"] else outcome.most_common(1)[0][0]
        return pools


@dataclass
class BestOfK(Strategy):
    """The k rewrites of a text with the largest divergence of teacher and student (Glitter, Kamalloo et al., 2022).

    Written best-of-k(STRATEGY), around a strategy that rewrites texts offline: ``pool`` independent rewrites of
    each row, with the teacher's logits, are made once, as in the paper. Each step draws ``candidates`` of the pool, the
    student (in eval mode, without gradient) is asked about them, and the ``k`` with the largest D(T(x') || S(x'))
    become its views. arXiv 2203.09391 has candidates = pool = 8 and k = 2; Minimax-kNN (ACL Findings 2021) selects so
    too. Where the inner strategy makes several copies at once, all of them go into the pool.

    What best-of-k(eda) is to be held against is eda[copies=8,refresh=0]: as large a pool, without choosing.
    """

    verified = "the candidates chosen equal those of a plain search for the largest score"

    inner: Strategy
    k: int = option(1, "the number of views per step", at_least=1)
    pool: int = option(8, "the number of rewrites of each row", at_least=1)
    candidates: int = option(
        2, "the number of rewrites the student is asked about per step", at_least=1, search=[2, 4, 8]
    )
    score: Score = option("kl", "what of a rewrite has to be large for it to be chosen")
    refresh: int | None = option(
        None,
        "the number of epochs after which the pool is made anew; 0: never; none: as the strategy inside does where it "
        "attacks the student, else never",
        at_least=0,
    )

    def __post_init__(self) -> None:
        if not self.k <= self.candidates <= self.pool:
            raise UsageError(
                f"best-of-k needs k <= candidates <= pool, not k={self.k}, candidates={self.candidates}, "
                f"pool={self.pool}"
            )
        if not isinstance(self.inner, Rewriter):
            raise UsageError("best-of-k selects among rewritten texts, which the strategy inside does not make")
        attacks = "student" in self.inner.reads()
        refresh = self.refresh if self.refresh is not None else self.inner.refresh * attacks
        self.rewrites = Pool(self.inner, self.pool, refresh)

    def supports(self, task: Task) -> str | None:
        if task.is_regression and self.score != "kl":
            return f"score={self.score} needs classes, and this task's labels are scores"
        return self.inner.supports(task)

    def resources(self) -> Sequence[Resource]:
        return self.inner.resources()

    def rewriters(self) -> tuple[Rewriter, ...]:
        return (self.rewrites,)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        import torch

        from bench.text_strategy import pick

        pool = batch.rewritten_by(self.rewrites)
        rows, device = len(batch.rows), batch.labels.device
        drawn = torch.rand((len(pool), rows), generator=models.rng, device=device).argsort(dim=0)
        offered = [pick(pool, choice) for choice in drawn[: self.candidates]]
        if self.k == self.candidates:
            yield from offered
            return
        with models.evaluating("student"), torch.no_grad():
            scores = [
                self._scores(models.teacher_targets(view, batch), models.logits("student", view.student), models)
                for view in offered
            ]
        for choice in torch.stack(scores).topk(self.k, dim=0).indices:
            yield pick(offered, choice)

    def _scores(self, teacher: torch.Tensor, student: torch.Tensor, models: Models) -> torch.Tensor:
        """Return the score [B] of the texts of which teacher and student have the logits [B, C]."""
        import torch.nn.functional as F

        from bench.distill.losses import row_divergence

        if self.score == "kl":
            regression, temperature = models.task.is_regression, models.recipe.temperature
            return row_divergence(teacher, student, is_regression=regression, temperature=temperature)
        log_student = F.log_softmax(student, dim=-1)
        if self.score == "student-loss":
            return F.nll_loss(log_student, teacher.argmax(dim=-1), reduction="none")
        return teacher.softmax(dim=-1).amax(dim=-1) * -(log_student.exp() * log_student).sum(dim=-1)
