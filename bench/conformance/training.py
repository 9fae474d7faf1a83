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
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from bench.conformance.subject import Failed, Skipped, Subject, own_global_state, told
from bench.conformance.tiny_tasks import TinyTask
from bench.conformance.watch import Watch, equal, weights_of
from bench.distill.feed import Feed
from bench.distill.loop import Outcome, distil
from bench.evaluation.selection import selection
from bench.settings import Recipe
from bench.strategy import Models, Step, Strategy

# Of a dozen rows: three updates an epoch, six in all.
RECIPE = Recipe(epochs=2, batch_size=4, lr=1e-3, weight_decay=0.01, checkpoint_seconds=math.inf, device="cpu")
_SEED = 5
# Memory is looked at after these many updates; the loop itself keeps up to ten losses it has not yet looked at.
_LOOKS = (10, 40)
_LEAKED_TENSORS = 15
_LEAKED_BYTES = 500


class _Interrupted(Exception):
    """Stands for the power cut in the middle of a run."""


@dataclass
class Run:
    """One run of the training loop: its models, what it returned, whose turns it took, what it told the observer."""

    strategy: Strategy
    models: Models
    turns: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outcome: Outcome | None = None

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """Nothing to do: the loop itself refuses a loss that is not finite."""

    def evaluated(self, metric: str, value: float) -> None:
        """Nothing to do: the students are compared by their weights."""

    def note(self, text: str) -> None:
        """Keep what the loop says."""
        self.notes.append(text)

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
    ground: TinyTask,
    *,
    recipe: Recipe = RECIPE,
    dropout: float = 0.1,
    epochs: float = RECIPE.epochs,
    global_seed: int = 0,
    state_file: Path | None = None,
    saving: bool = False,
    watch: Watch | None = None,
    before_turn: Callable[[Run], None] | None = None,
) -> Run:
    """Train the tiny student by the strategy; ``before_turn`` is called before every update.

    With ``saving``, ``state_file`` is written after each of them.
    """
    strategy = subject.create()
    made = Run(strategy, ground.models(strategy.needs, dropout=dropout))
    splits, turn = ground.splits(), strategy.turn

    def counted(step: Step) -> Any:
        if before_turn is not None:
            before_turn(made)
        made.turns.append(turn(step))
        return made.turns[-1]

    strategy.turn = counted  # type: ignore[method-assign]
    if watch is not None:
        watch.put_around(strategy, made.models)
    with own_global_state(global_seed):
        made.outcome = distil(
            made.models,
            strategy,
            # Evaluated at the end only.
            replace(recipe, epochs=epochs, evaluate_every=epochs, checkpoint_seconds=0.0 if saving else math.inf),
            selection("last"),
            Feed(
                splits["train"],
                ground.teacher_logits(splits["train"]) if "teacher" in strategy.needs else None,
                rewriters=strategy.rewriters(),
                texts=subject.texts(strategy, ground, made.models),
                cost=made.models.cost,
            ),
            splits,
            seed=_SEED,
            observer=made,
            state_file=state_file,
        )
    return made


def _watched(subject: Subject) -> list[tuple[TinyTask, Watch, Run]]:
    """Return what was seen in a run on each made task; Skipped where the strategy does not get through one."""

    def look() -> list[tuple[TinyTask, Watch, Run]]:
        found = []
        for ground in subject.grounds:
            watch = Watch()
            try:
                # Without dropout nothing but a strategy that misuses it draws from the global random state.
                made = run(subject, ground, dropout=0.0, watch=watch)
            except Skipped:
                raise
            except Exception as error:
                seen = "".join(f"; before that, {texts[0]}" for texts in watch.problems.values())
                raise Failed(f"on the {ground.task.title}: {told(error)}{seen}") from error
            found.append((ground, watch, made))
        return found

    return subject.remember("watched", look)


def _first_problem(subject: Subject, check: str) -> None:
    for ground, watch, _ in _watched(subject):
        if found := watch.problems.get(check):
            raise Failed(f"on the {ground.task.title}: {found[0]}")


def trains(subject: Subject) -> str | None:
    """Six updates on each made task, odd rows included, end well and with losses that are numbers."""
    _first_problem(subject, "trains")
    phases = Counter(turn for *_, made in _watched(subject) for turn in made.turns)
    return ", ".join(f"{count} {phase} updates" for phase, count in phases.items())


def views(subject: Subject) -> str | None:
    """Every view must hold the batch's rows, be what a model reads, and have a target of the task's shape."""
    _first_problem(subject, "views")
    made, batches = (sum(getattr(watch, name) for _, watch, _ in _watched(subject)) for name in ("views", "batches"))
    return f"{made / max(1, batches):g} per batch" if made else "none: the student sees the clean text alone"


def batch_untouched(subject: Subject) -> None:
    """The clean batch and its labels train the student too: a view is made of a copy."""
    _first_problem(subject, "batch_untouched")


def teacher_untouched(subject: Subject) -> None:
    """The teacher is the same for all strategies: nothing trains it, nothing flows into it, it stays in eval mode."""
    _first_problem(subject, "teacher_untouched")
    for ground, watch, made in _watched(subject):
        teacher = made.models.teacher
        if teacher is None or watch.teacher is None:
            raise Skipped("it has no teacher")
        for name, parameter in teacher.named_parameters():
            if parameter.grad is not None or parameter.requires_grad:
                raise Failed(
                    f"on the {ground.task.title}: a gradient flows into the teacher's {name}; leave its parameters as "
                    f"they are, or ask it under torch.no_grad()"
                )
        for name, tensor in weights_of(teacher).items():
            if not equal(watch.teacher[name], tensor):
                raise Failed(f"on the {ground.task.title}: the teacher's {name} was changed; work on a copy of it")


def student_untouched(subject: Subject) -> None:
    """All strategies make the same updates of the student: a strategy asks it, and changes nothing about it."""
    _first_problem(subject, "student_untouched")


def training_keeps_global_state(subject: Subject) -> None:
    """The student's dropout draws from the global state: a strategy that draws from it changes the student's."""
    _first_problem(subject, "keeps_global_state")


def counts_its_cost(subject: Subject) -> None:
    """Strategies are compared at what they cost: every row that a model reads is counted."""
    _first_problem(subject, "counts_its_cost")


def _straight(subject: Subject, ground: TinyTask) -> Run:
    """Return an uninterrupted run."""
    _first_problem(subject, "")
    return subject.remember(f"straight {ground.task.name}", lambda: run(subject, ground, global_seed=1))


def repeats(subject: Subject) -> None:
    """Two runs from one seed end in the same student, whatever else the process did before."""
    for ground in subject.grounds:
        first, second = _straight(subject, ground), run(subject, ground, global_seed=2)
        if first.turns != second.turns or (name := _different(first, second)):
            raise Failed(
                f"on the {ground.task.title}: two runs from one seed differ"
                + (f" in {name}" if first.turns == second.turns else " in whose turns they take")
                + "; draw from models.rng, and keep nothing outside the strategy object"
            )


def resumes(subject: Subject) -> str | None:
    """A run cut off in any phase goes on to the very numbers of one that was not."""
    phases: set[str] = set()
    for ground in subject.grounds:
        whole = _straight(subject, ground)
        for phase in dict.fromkeys(whole.turns):
            places = [number for number, turn in enumerate(whole.turns) if turn == phase]
            cut_at = places[2 * len(places) // 3]
            file = subject.folder / "states" / ground.task.name / phase / "state.pt"

            def stop(made: Run, cut_at: int = cut_at) -> None:
                if len(made.turns) == cut_at:
                    raise _Interrupted

            with suppress(_Interrupted):
                run(subject, ground, state_file=file, saving=True, before_turn=stop, global_seed=3)
            resumed = run(subject, ground, state_file=file, global_seed=4)
            assert resumed.outcome is not None
            if resumed.outcome.resumed != 1:
                why = "; ".join(resumed.notes) or "nothing was saved"
                raise Failed(
                    f"on the {ground.task.title}: a run cut off before update {cut_at + 1} cannot be resumed: {why}; "
                    f"state_dict() may hold tensors, numbers, texts, lists and dicts"
                )
            if name := _different(whole, resumed):
                mode = ", and set the models' train and eval mode yourself in fit_adversary()"
                raise Failed(
                    f"on the {ground.task.title}: cut off in the {phase}'s turn (before update {cut_at + 1}) and "
                    f"resumed, a run ends in another {name}; return all that matters from state_dict()"
                    + (mode if phase == "adversary" else "")
                )
            phases.add(phase)
    return f"cut off in the turn of {' and of '.join(sorted(phases))}"


def bounded_memory(subject: Subject) -> None:
    """A run makes a hundred thousand updates: what is kept of each adds up, in memory and in every checkpoint."""
    _first_problem(subject, "bounded_memory")
    looks: dict[int, tuple[int, int, int]] = {}

    def look(made: Run) -> None:
        done = made.models.cost.student_updates
        if done in _LOOKS and done not in looks:
            saved = BytesIO()
            torch.save(made.strategy.state_dict(), saved)
            gc.collect()
            alive = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
            looks[done] = (alive, held_bytes(made.strategy), saved.tell())

    run(subject, subject.grounds[0], epochs=_LOOKS[-1] // 3 + 1, before_turn=look)
    (tensors, held, state), (tensors_later, held_later, state_later) = (looks[done] for done in _LOOKS)
    updates = _LOOKS[-1] - _LOOKS[0]
    if tensors_later - tensors > _LEAKED_TENSORS:
        raise Failed(
            f"{tensors_later - tensors} more tensors are alive after {updates} more updates; keep no batch, view or "
            f"loss beyond its update (and no graph: detach() what you keep)"
        )
    if held_later - held > _LEAKED_BYTES:
        raise Failed(
            f"the strategy, or a variable or cache of its module, grew by {held_later - held:,} bytes in {updates} "
            f"updates; keep nothing of a batch beyond its update"
        )
    if state_later - state > _LEAKED_BYTES:
        raise Failed(
            f"state_dict() grew from {state:,} to {state_later:,} bytes in {updates} updates; keep what is needed to "
            f"go on, no history"
        )


def held_bytes(strategy: Strategy) -> int:
    """Return the bytes that can be reached from a strategy and the data of its classes' modules, models left out."""
    names = {cls.__module__ for cls in type(strategy).__mro__} - {"builtins", *(c.__module__ for c in Strategy.__mro__)}
    modules = [vars(sys.modules[name]) for name in names if name in sys.modules]
    waiting: list[Any] = [thing for names in [vars(strategy), *modules] for thing in names.values()]
    seen, total = set[int](), 0
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, _NOT_HELD):
            continue
        seen.add(id(thing))
        total += sys.getsizeof(thing)
        if isinstance(thing, torch.Tensor):
            total += thing.nbytes
        else:
            waiting += gc.get_referents(thing)
    return total


# Functions lead to everything, and the models are the harness's. Classes count for their modules' data only.
_NOT_HELD = (
    torch.nn.Module,
    Models,
    Run,
    type,
    types.ModuleType,
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
)


def _different(one: Run, other: Run) -> str | None:
    """Return the name of a weight in which the two runs ended differently, or None."""
    weights = other.weights()
    return next((name for name, tensor in one.weights().items() if not equal(tensor, weights[name])), None)
