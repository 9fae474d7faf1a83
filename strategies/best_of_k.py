"""Best of k: from a pool of ready-made rewrites, train on those on which teacher and student disagree most."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import Attacked, Batch, Context, Models, Strategy, View, option
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench import Example, Resource, Task


@dataclass
class BestOfK(Strategy):
    """The k rewrites of a text with the largest divergence of teacher and student (Glitter, Kamalloo et al., 2022).

    Written best-of-k(STRATEGY), around a strategy that rewrites texts offline: ``pool`` independent rewrites of
    each row, with the teacher's logits, are made once. Each step draws ``candidates`` of the pool, the student (in
    eval mode, without gradient) is asked about them, and the ``k`` with the largest D(T(x') || S(x')) become its
    views. arXiv 2203.09391 has candidates = pool = 8 and k = 2; Minimax-kNN (ACL Findings 2021) selects so too.
    """

    k: int = option(1, "the number of views per step", at_least=1)
    pool: int = option(8, "the number of rewrites of each row", at_least=1)
    candidates: int = option(2, "the number of rewrites the student is asked about per step", at_least=1)

    wraps = True
    options_of_views = ("k", "candidates")

    def __post_init__(self) -> None:
        if not self.k <= self.candidates <= self.pool:
            raise UsageError(
                f"best-of-k needs k <= candidates <= pool, not k={self.k}, candidates={self.candidates}, "
                f"pool={self.pool}"
            )

    def wrap(self, inner: Sequence[Strategy]) -> None:
        (self.inner,) = inner
        if self.inner.refresh == "never" or self.inner.wraps:
            raise UsageError(
                f"{self.spec}: best-of-k selects among rewritten texts, which {inner[0].spec} does not make"
            )
        # What a class says of itself, a wrapper says of what it wraps.
        self.refresh = self.inner.refresh  # type: ignore[misc]
        self.libraries = self.inner.libraries  # type: ignore[misc]

    def supports(self, task: Task) -> str | None:
        return self.inner.supports(task)

    def resources(self) -> Sequence[Resource]:
        return self.inner.resources()

    def reads(self) -> tuple[Any, ...]:
        return self.inner.reads()

    def edition(self, epoch: int) -> int:
        return self.inner.edition(epoch)

    def rewrite(self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context) -> list[Any]:
        pools: list[list[tuple[str, ...]]] = [[] for _ in examples]
        for _ in range(self.pool):
            own = [random.Random(rng.getrandbits(64)) for rng in rngs]
            for pool, made in zip(pools, self.inner.rewrite(examples, own, context), strict=True):
                forms = made.forms if isinstance(made, Attacked) else made
                pool.append(forms[0])
        return pools

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        import torch

        from bench.distill.losses import row_divergence
        from bench.rewriter import pick

        rows, device = len(batch.rows), batch.labels.device
        drawn = torch.rand((len(batch.rewrites), rows), generator=models.rng, device=device).argsort(dim=0)
        offered = [pick(batch.rewrites, choice) for choice in drawn[: self.candidates]]
        if self.k == self.candidates:
            yield from offered
            return
        student = models.student
        was_training = student.training
        student.eval()
        with torch.no_grad():
            gains = [
                row_divergence(
                    models.teacher_targets(view, batch),
                    models.logits("student", view.student),
                    is_regression=models.task.is_regression,
                )
                for view in offered
            ]
        student.train(was_training)
        for choice in torch.stack(gains).topk(self.k, dim=0).indices:
            yield pick(offered, choice)
