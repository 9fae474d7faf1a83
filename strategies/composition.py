"""Two or more strategies at once, written ``a+b``: each perturbs the clean batch, all their views train the student."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench import Batch, Models, Step, Strategy, View
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench import Resource, Task


@dataclass
class Composition(Strategy):
    """Several strategies at once, written a+b: the views of all of them, each part with an equal share.

    At most one part may train an adversary of its own. A part's rewritten texts are its own, cached as without
    the others.
    """

    wraps = True

    def wrap(self, inner: Sequence[Strategy]) -> None:
        self.parts = list(inner)
        # What a class says of itself, a wrapper says of what it wraps.
        self.needs = tuple(dict.fromkeys(role for part in inner for role in part.needs))  # type: ignore[misc]
        self.sequential = any(part.sequential for part in inner)  # type: ignore[misc]
        adversaries = [part for part in inner if type(part).fit_adversary is not Strategy.fit_adversary]
        if len(adversaries) > 1:
            raise UsageError(f"{self.spec}: at most one part may train an adversary of its own")
        self.adversary = adversaries[0] if adversaries else None

    def supports(self, task: Task) -> str | None:
        return next((reason for part in self.parts if (reason := part.supports(task))), None)

    def resources(self) -> Sequence[Resource]:
        return [resource for part in self.parts for resource in part.resources()]

    def reads(self) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(role for part in self.parts for role in part.reads()))

    def rewriters(self) -> tuple[Strategy, ...]:
        return tuple(rewriter for part in self.parts for rewriter in part.rewriters())

    def setup(self, models: Models) -> None:
        for part in self.parts:
            part.setup(models)

    def turn(self, step: Step) -> Literal["student", "adversary"]:
        return "student" if self.adversary is None else self.adversary.turn(step)

    def fit_adversary(self, batch: Batch, models: Models) -> Any:
        assert self.adversary is not None
        return self.adversary.fit_adversary(batch, models)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        for part in self.parts:
            mine = [view for view in batch.rewrites if any(view.maker is maker for maker in part.rewriters())]
            views = part.views(dataclasses.replace(batch, rewrites=mine), models)
            if part.sequential:
                # Its views are yielded one by one: it reads each one's gradient before it makes the next.
                for view in views:
                    view.weight /= len(self.parts)
                    yield view
                continue
            made = list(views)
            total = sum(view.weight for view in made) * len(self.parts)
            for view in made:
                view.weight /= total
                yield view

    def state_dict(self) -> dict[str, Any]:
        return {str(number): part.state_dict() for number, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for number, part in enumerate(self.parts):
            part.load_state_dict(state[str(number)])
