"""Checks of a strategy in the real training loop: what it yields, what it leaves alone, and whether it resumes."""

from __future__ import annotations

import gc
import math
import sys
import types
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.conformance import Failed, Skipped
from bench.conformance.global_state import own_global_state
from bench.conformance.subject import Subject, TaskRewriter
from bench.conformance.tiny_tasks import TinyTask
from bench.conformance.watch import Watch, different
from bench.distill.feed import Feed
from bench.distill.loop import Outcome, distil
from bench.distill.losses import divergence
from bench.evaluation.selection import selection
from bench.observer import Silent
from bench.rewriter import Rewriter
from bench.rewriting.job import in_a_line
from bench.rewriting.training_sets import RewrittenSets, training_sets
from bench.settings import Recipe
from bench.strategy import Models, Step, Strategy

# Of a dozen rows: three updates per epoch, six in all.
RECIPE = Recipe(epochs=2, batch_size=4, lr=1e-3, weight_decay=0.01, checkpoint_seconds=math.inf, device="cpu")
_SEED = 5
# Memory is looked at after these many updates; the loop itself keeps up to ten losses it has not yet looked at.
_LOOKS = (10, 40)
_LEAKED_TENSORS = 15
_LEAKED_BYTES = 500
# An adversary makes so many updates at this rate; the same noise is drawn before and after. MATE-KD's and the sample's
# raise the divergence of the tiny sentences by 21% and 26%; with a wrong sign they lower it by 27% and 15%.
_CLIMB, _FAST = 20, 0.1
_DRAWS, _NOISE = 16, 0.05


class _Interrupted(Exception):
    """Stands for the power cut in the middle of a run."""


@dataclass
class Run(Silent):
    """One run of the training loop: its models, whose turns it took, what the loop said, and how it ended."""

    strategy: Strategy
    rewriters: list[TaskRewriter]
    tiny: TinyTask
    models: Models
    turns: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outcome: Outcome | None = None
    watch: Watch | None = None
    error: str = ""

    def note(self, text: str) -> None:
        """Keep what the loop says."""
        self.notes.append(text)

    def rewritten(self, rewriter: Rewriter, edition: int) -> RewrittenSets:
        """Return the training sets that ``rewriter`` makes for ``edition``."""
        place = next(place for place, own in enumerate(self.strategy.rewriters()) if own is rewriter)
        forms = self.rewriters[place].forms_beside(rewriter, edition, self.models.student)
        answers = None if self.models.teacher is None else lambda rows: (self.tiny.teacher_logits(rows), 0.0)
        return RewrittenSets(training_sets(self.tiny.examples, forms, self.tiny.encode, answers))

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights of everything that was trained."""
        trained = {"student": self.models.student, "generator": self.models.generator}
        return {
            f"{role}.{name}": tensor
            for role, model in trained.items()
            if model is not None
            for name, tensor in model.state_dict().items()
        }


def run(
    subject: Subject,
    tiny: TinyTask,
    *,
    recipe: Recipe = RECIPE,
    global_seed: int = 0,
    checkpoints: Path | None = None,
    watched: bool = False,
    before_turn: Callable[[Run], None] | None = None,
) -> Run:
    """Train the tiny student by the strategy; ``before_turn`` is called before every update.

    With both, ``checkpoints`` is written after each of them. A ``watched`` run that fails says so in its ``error``; it
    has no dropout, so that nothing but a strategy that misuses it draws from the global random state.
    """
    strategy = subject.create()
    this = Run(strategy, subject.rewriters_on(tiny), tiny, tiny.models(strategy.needs, dropout=0.0 if watched else 0.1))
    rows, turn = tiny.encode(tiny.examples), strategy.turn

    def recorded_turn(step: Step) -> Any:
        if before_turn is not None:
            before_turn(this)
        this.turns.append(turn(step))
        return this.turns[-1]

    strategy.turn = recorded_turn  # type: ignore[method-assign]
    if watched:
        this.watch = Watch(strategy, this.models)
    logits = tiny.teacher_logits(rows) if "teacher" in strategy.needs else None
    # Evaluated at the end only.
    recipe = replace(recipe, evaluate_every=recipe.epochs, checkpoint_seconds=0.0 if before_turn else math.inf)
    try:
        with own_global_state(global_seed):
            this.outcome = distil(
                this.models,
                strategy,
                recipe,
                selection("last"),
                Feed(rows, logits, rewriters=strategy.rewriters(), texts=this, cost=this.models.cost),
                {"train": rows, "dev": rows},
                seed=_SEED,
                observer=this,
                checkpoints=checkpoints,
            )
    except Skipped:
        raise
    except Exception as error:
        if this.watch is None:
            raise
        before = "".join(f"; before that, {texts[0]}" for texts in this.watch.problems.values())
        this.error = f"on the {tiny.task.title}: {in_a_line(error)}{before}"
    return this


@lru_cache(maxsize=1)
def _watched(subject: Subject) -> list[Run]:
    """Return a watched run on each tiny task."""
    return [run(subject, tiny, watched=True) for tiny in subject.tasks]


@lru_cache(maxsize=3)
def _straight(subject: Subject, tiny: TinyTask) -> Run:
    """Return an uninterrupted run."""
    return run(subject, tiny, global_seed=1)


def _keeps(subject: Subject, check: str) -> list[Run]:
    """Return the watched runs; Failed if ``check`` saw a problem in one, Skipped if a run did not end well."""
    runs = _watched(subject)
    for one in runs:
        if one.watch is not None and (problems := one.watch.problems.get(check)):
            raise Failed(f"on the {one.tiny.task.title}: {problems[0]}")
    if any(one.error for one in runs):
        raise Skipped("it needs what failed above")
    return runs


def trains(subject: Subject) -> str | None:
    """Six updates on each tiny task end well, with losses that are numbers. A run of hours would fail as these do."""
    for one in _watched(subject):
        if one.error:
            raise Failed(one.error)
    phases = Counter(turn for one in _keeps(subject, "trains") for turn in one.turns)
    return ", ".join(f"{count} {phase} updates" for phase, count in phases.items())


def views(subject: Subject) -> str | None:
    """A view holds the batch's rows as a model reads them, and targets of the task's shape. The loss pairs rows."""
    watches = [one.watch for one in _keeps(subject, "views") if one.watch is not None]
    count, batches = sum(watch.views for watch in watches), sum(watch.batches for watch in watches)
    return f"{count / max(1, batches):g} per batch" if count else "none: the student sees the clean text alone"


def batch_untouched(subject: Subject) -> None:
    """The batch's inputs, labels and logits stay as they are. They train the student too: make a view of a copy."""
    _keeps(subject, "batch_untouched")


def teacher_untouched(subject: Subject) -> None:
    """The teacher takes no gradient and stays in eval mode. It must be the same for the students of all strategies."""
    runs = _keeps(subject, "teacher_untouched")
    if all(one.models.teacher is None for one in runs):
        raise Skipped("it has no teacher")


def student_untouched(subject: Subject) -> None:
    """The student keeps its weights, its mode and no gradient. All strategies make the same number of updates of it."""
    _keeps(subject, "student_untouched")


def training_keeps_global_state(subject: Subject) -> None:
    """Random numbers come from models.rng, not from global state. The student's dropout draws from that."""
    _keeps(subject, "training_keeps_global_state")


def counts_its_cost(subject: Subject) -> None:
    """Every row that a model reads is counted. Strategies are compared at what they cost."""
    _keeps(subject, "counts_its_cost")


def repeats(subject: Subject) -> None:
    """Two runs from one seed end in the same student. Otherwise no result can be reproduced."""
    for one in _keeps(subject, "repeats"):
        first, second = _straight(subject, one.tiny), run(subject, one.tiny, global_seed=2)
        if first.turns != second.turns or (name := different(first.weights(), second.weights())):
            raise Failed(
                f"on the {one.tiny.task.title}: two runs from one seed differ"
                + (f" in {name}" if first.turns == second.turns else " in whose turns they take")
                + "; draw from models.rng, and keep nothing outside the strategy object"
            )


def resumes(subject: Subject) -> str | None:
    """A run cut off in anybody's turn goes on to the numbers of one that was not. Long runs are interrupted."""
    phases: set[str] = set()
    # What has to be saved differs by strategy and turn, not by task.
    for tiny in [one.tiny for one in _keeps(subject, "resumes")][:1]:
        whole = _straight(subject, tiny)
        for phase in dict.fromkeys(whole.turns):
            places = [number for number, turn in enumerate(whole.turns) if turn == phase]
            last = places[2 * len(places) // 3]
            file = subject.folder / "states" / tiny.task.name / phase / "state.pt"

            def stop(this: Run, last: int = last) -> None:
                if len(this.turns) == last:
                    raise _Interrupted

            with suppress(_Interrupted):
                run(subject, tiny, checkpoints=file, before_turn=stop, global_seed=3)
            resumed = run(subject, tiny, checkpoints=file, global_seed=4)
            assert resumed.outcome is not None
            where = f"on the {tiny.task.title}: a run cut off in the {phase}'s turn (before update {last + 1})"
            if resumed.outcome.resumed != 1:
                why = "; ".join(resumed.notes) or "nothing was saved"
                remedy = "state_dict() may hold tensors, numbers, texts, lists and dicts"
                raise Failed(f"{where} cannot be resumed: {why}; {remedy}")
            if name := different(whole.weights(), resumed.weights()):
                mode = ", and set the models' train and eval mode yourself in fit_adversary()"
                raise Failed(
                    f"{where} and resumed ends in another {name}; return all that matters from state_dict()"
                    + (mode if phase == "adversary" else "")
                )
            phases.add(phase)
    return f"cut off in the turn of {' and of '.join(sorted(phases))}"


def climbs(subject: Subject) -> str | None:
    """Fast updates on one batch do not bring teacher and student together on the adversary's views; else it remarks so.

    With the wrong sign of its loss an adversary trains, repeats and resumes, and helps nobody.
    """
    first, strategy = _keeps(subject, "climbs")[0], subject.create()
    if "adversary" not in first.turns:
        raise Skipped("it trains no adversary")
    tiny, models = first.tiny, first.tiny.models(strategy.needs, dropout=0.0)
    rows = tiny.encode(tiny.examples)
    batch = Feed(rows, None if models.teacher is None else tiny.teacher_logits(rows)).batch(np.arange(4))

    def distance() -> float:
        distances = []
        for seed in range(_DRAWS):
            models.rng.manual_seed(seed)
            for view in strategy.views(batch, models):
                if view.wait:
                    raise Skipped("its views need the student's gradient")
                target, logits = models.teacher_targets(view, batch), models.logits("student", view.student)
                distances.append(divergence(target, logits, is_regression=tiny.task.is_regression).item())
        return float(np.mean(distances)) if distances else math.nan

    with own_global_state(0):
        strategy.setup(models)
        optimizers = [value for value in vars(strategy).values() if isinstance(value, torch.optim.Optimizer)]
        if not optimizers:
            raise Skipped("none of its attributes is an optimizer of torch, to be made fast")
        for group in [group for optimizer in optimizers for group in optimizer.param_groups]:
            group["lr"] = _FAST
        models.training = False  # the views are only looked at
        before = distance()
        for _ in range(_CLIMB):
            strategy.fit_adversary(batch, models)
        after = distance()
    if after < before * (1 - _NOISE):
        change = f"the divergence of teacher and student from {before:.2g} to {after:.2g}"
        return f"{_CLIMB} fast updates of its adversary bring {change}: is the sign of its loss right?"
    return None


def bounded_memory(subject: Subject) -> None:
    """Memory and checkpoints do not grow from update 10 to 40. What is kept of each adds up over a hundred thousand."""
    tiny = _keeps(subject, "bounded_memory")[0].tiny
    looks: dict[int, tuple[int, int, int]] = {}

    def look(this: Run) -> None:
        done = this.models.cost.student_updates
        if done in _LOOKS and done not in looks:
            saved = BytesIO()
            torch.save(this.strategy.state_dict(), saved)
            gc.collect()
            alive = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
            looks[done] = (alive, held_bytes(this.strategy), saved.tell())

    # What is there before the run is none of its doing, and to look at a million objects takes a second.
    gc.freeze()
    try:
        run(subject, tiny, recipe=replace(RECIPE, epochs=_LOOKS[-1] // 3 + 1), before_turn=look)
    finally:
        gc.unfreeze()
    tensors, held, state = (later - first for first, later in zip(*(looks[done] for done in _LOOKS), strict=True))
    updates = f"{_LOOKS[-1] - _LOOKS[0]} more updates"
    if tensors > _LEAKED_TENSORS:
        raise Failed(
            f"{tensors} more tensors are alive after {updates}; keep no batch, view or loss beyond its update "
            f"(and no graph: detach() what you keep)"
        )
    if held > _LEAKED_BYTES:
        raise Failed(
            f"the strategy, or a variable or cache of its module, grew by {held:,} bytes in {updates}; keep nothing of "
            f"a batch beyond its update"
        )
    if state > _LEAKED_BYTES:
        raise Failed(f"state_dict() grew by {state:,} bytes in {updates}; keep what is needed to go on, no history")


def held_bytes(strategy: Strategy) -> int:
    """Return the bytes that can be reached from a strategy and the data of its classes' modules, models left out."""
    names = {cls.__module__ for cls in type(strategy).__mro__} - {"builtins", *(c.__module__ for c in Strategy.__mro__)}
    modules = [vars(sys.modules[name]) for name in names if name in sys.modules]
    waiting: list[Any] = [thing for names in [vars(strategy), *modules] for thing in names.values()]
    seen, total = set[int](), 0
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, (*_CODE, type, torch.nn.Module, Models, Run)):
            continue
        seen.add(id(thing))
        total += sys.getsizeof(thing)
        if isinstance(thing, torch.Tensor):
            total += thing.nbytes
        else:
            waiting += gc.get_referents(thing)
    return total


# They lead to everything. Classes, too, count for their modules' data only, and the models are the harness's.
_CODE = (types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType)
