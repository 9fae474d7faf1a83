"""Two or more strategies at once, written ``a+b``: each perturbs the clean batch, all their views train the student."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench import AdversaryGain, Batch, Models, Rewriter, Step, Strategy, View
from bench.errors import UsageError
from bench.strategy import rescaled

if TYPE_CHECKING:
    from bench import Resource, Task


@dataclass
class Composition(Strategy):
    """Several strategies at once, written a+b: the views of all of them, each part with an equal share.

    Parts that have no view of a batch leave theirs to the others. At most one part may train an adversary of its
    own. A part's rewritten texts are its own, cached as without the others.
    """

    parts: tuple[Strategy, ...]

    def __post_init__(self) -> None:
        self.needs = tuple(dict.fromkeys(role for part in self.parts for role in part.needs))  # type: ignore[misc]
        adversaries = [part for part in self.parts if part.trains_an_adversary()]
        if any(part.loss_weights() is not None for part in self.parts):
            raise UsageError("a part cannot set the weights of the whole loss: set recipe.weights")
        if len(adversaries) > 1:
            raise UsageError("at most one part may train an adversary of its own")
        self.adversary = adversaries[0] if adversaries else None

    def supports(self, task: Task) -> str | None:
        return next((reason for part in self.parts if (reason := part.supports(task))), None)

    def resources(self) -> Sequence[Resource]:
        return [resource for part in self.parts for resource in part.resources()]

    def rewriters(self) -> tuple[Rewriter, ...]:
        return tuple(rewriter for part in self.parts for rewriter in part.rewriters())

    def setup(self, models: Models) -> None:
        for part in self.parts:
            part.setup(models)

    def turn(self, step: Step) -> Literal["student", "adversary"]:
        return "student" if self.adversary is None else self.adversary.turn(step)

    def fit_adversary(self, batch: Batch, models: Models) -> Any:
        assert self.adversary is not None
        return self.adversary.fit_adversary(batch, models)

    def adversary_gain(self, batch: Batch, models: Models, start: Models) -> AdversaryGain | None:
        assert self.adversary is not None
        return self.adversary.adversary_gain(batch, models, start)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        yielding = []
        for part in self.parts:
            own = iter(part.views(batch, models))
            if (first := next(own, None)) is not None:
                yielding.append((first, own))
        # Before those that are waited for, so that they share its pass.
        views: Iterator[View]
        for first, rest in sorted(yielding, key=lambda pair: pair[0].wait):
            views, total = itertools.chain([first], rest), 1.0
            if not first.wait:
                together = list(views)
                views, total = iter(together), sum(view.weight for view in together)
            for view in views:
                yield rescaled(view, 1 / (total * len(yielding)))

    def state_dict(self) -> dict[str, Any]:
        return {str(number): part.state_dict() for number, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for number, part in enumerate(self.parts):
            part.load_state_dict(state[str(number)])
