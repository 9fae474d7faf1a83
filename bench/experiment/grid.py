"""The grid of cells: strategies x tasks x seeds, each with an identity, a folder and a state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from bench import __version__
from bench.brackets import matching
from bench.code import sources, version
from bench.data.source import Source
from bench.data.sources import at_hand
from bench.data.tasks import Task
from bench.errors import BenchError, UsageError, unknown
from bench.files import content_digest, digest
from bench.registry import load
from bench.reporting.records import run_folder
from bench.reporting.schema import TunedSection
from bench.rewriting.identity import contents, describe
from bench.settings import Settings
from bench.spec import StrategySpec, models_read
from bench.strategy import Strategy

T = TypeVar("T")
_PARTS = ("teacher", "student", "generator")


@dataclass(frozen=True)
class Cell:
    """One run: a strategy on a task under one seed, with the settings that took effect."""

    settings: Settings
    task: Task
    strategy: StrategySpec
    seed: int
    source: str
    fingerprint: str
    corpus: str = ""
    """Identity of all texts of the source: generators and tokenizers are made on them."""
    tuned: TunedSection | None = None
    """The search that chose the strategy's options; None where they are as they were asked for."""
    known: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What cells of one grid have worked out, by all that it depends on: seeds have it in common."""

    @property
    def instance(self) -> Strategy:
        """A strategy object to ask about; runs create their own."""
        return self._once("instance", self.strategy.create)

    def _once(self, what: str, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, of the first cell that differs in the seed alone."""
        settings = id(self.settings)  # kept alive by the entry itself
        key = (what, settings, self.task.name, self.strategy, self.source, self.fingerprint, self.corpus)
        if key not in self.known:
            self.known[key] = (self.settings, work())
        return self.known[key][1]

    @cached_property
    def id(self) -> str:
        """8 hex digits of everything the result depends on."""
        strategy = str(self.strategy.under_any_preset())
        tree = {**self.identity(), "strategy": strategy, "seed": self.seed}
        if compared := self.compared():
            tree["budget"] = [cell.id for cell in compared]
        if self.tuned is not None:
            tree["tuned"] = [self.tuned.strategy, self.tuned.trials, self.tuned.seed, self.tuned.training_seeds]
        return digest(tree)[:8]

    def compared(self) -> tuple[Cell, ...]:
        """Return what a budget of its own is worked out from: the same strategy without one, and the strategy named."""
        if (budget := self.instance.budget()) is None:
            return ()
        plain = self.strategy.with_options({"forwards_of": None, "seconds_of": None})
        other = StrategySpec.parse(budget[1], self.settings.strategies)
        return replace(self, strategy=plain, tuned=None), replace(self, strategy=other, tuned=None)

    def identity(self) -> dict[str, Any]:
        """Return what the result depends on, strategy and seed apart; it is not to be changed."""
        return self._once("identity", self._identity)

    def _identity(self) -> dict[str, Any]:
        tree, rewriters = self._settings(), self.instance.rewriters()
        used = self._with_origins({*self.instance.needs, *models_read(self.instance), "student"})
        if self._made_of_corpus(used) or any("corpus" in rewriter.reads() for rewriter in rewriters):
            tree["corpus"] = self.corpus
        classes = [cls for rewriter in rewriters for cls in describe(rewriter)[1]]
        tree["code"] = list(sources([*map(load, self.strategy.names()), *classes]))
        tree["libraries"] = {name: version(name) for rewriter in rewriters for name in rewriter.libraries}
        if files := [content for rewriter in rewriters for content in contents(rewriter, self.task)]:
            tree["files"] = files
        if not rewriters:
            tree["data"].pop("rewrite_seed", None)
        return {
            **{name: value for name, value in tree.items() if name not in _PARTS or name in used},
            "task": self.task.name,
            "signature": self.signature,
        }

    def _settings(self) -> dict[str, Any]:
        """Return what the settings have a result depend on, a local model folder as the digest of its content."""
        tree = self.settings.identity()
        for role in _PARTS:
            for key in {"model", "finetuned"} & tree[role].keys():
                model = str(tree[role][key]).replace("{task}", self.task.name)
                # A folder that happens to be called "scratch" or "teacher" is not what these words mean.
                is_folder = key == "finetuned" or model not in ("scratch", *_PARTS)
                tree[role][key] = (content_digest(Path(model).expanduser()) if is_folder else None) or model
        return tree

    def _made_of_corpus(self, roles: set[str]) -> bool:
        """Return whether a generator or tokenizer made on all texts of the source is part of ``roles``."""
        return "generator" in roles or any(getattr(self.settings, role).model == "scratch" for role in roles)

    def _with_origins(self, roles: set[str]) -> set[str]:
        """Return ``roles`` and those whose models they start from ("student.model = teacher")."""
        for _ in _PARTS:
            roles = roles | {getattr(self.settings, role).model for role in _PARTS if role in roles}
        return roles & set(_PARTS)

    @property
    def signature(self) -> str:
        """What must be equal for two results on a task to be comparable, readable and hashed."""
        return self._once("signature", self._signature)

    def _signature(self) -> str:
        tree = self._settings()
        compared = self._with_origins({"teacher", "student"})
        parts = {
            "bench": __version__,
            "data": f"{self.source}:{self.fingerprint}",
            "max_length": self.settings.data.max_length,
            "max_train": self.settings.data.max_train or "all",
            **({"train_rows": few} if (few := self.settings.data.train_rows) else {}),
            "teacher": digest(tree["teacher"])[:8],
            "student": digest(tree["student"])[:8],
            # Only where the models compared are made of it; what a strategy makes of it is the strategy's own.
            **{role: digest(tree[role])[:8] for role in compared & {"generator"}},
            **({"corpus": self.corpus[:8]} if self._made_of_corpus(compared) else {}),
            "recipe": digest(tree["recipe"])[:8],
            "selection": self.settings.recipe.selection,
        }
        return "|".join(f"{key}={value}" for key, value in parts.items())

    def folder(self, results: Path) -> Path:
        """Return the folder of this run."""
        return run_folder(results, self.settings.preset, self.task.name, str(self.strategy), self.seed, self.id)

    def __str__(self) -> str:
        tuned = "" if self.tuned is None else " (tuned)"
        few = self.settings.data.train_rows
        unit = "rows" if self.task.is_regression else "rows a class"
        task = self.task.name if few is None else f"{self.task.name} of {few} {unit}"
        return f"{task} · {self.strategy}{tuned} · seed {self.seed}"


def choose_tasks(wanted: Sequence[str], source: Source) -> tuple[list[Task], list[str]]:
    """Return the tasks that names and globs in ``wanted`` choose, and notes on those left out.

    "all" is every task with training rows. What a glob matches but the source lacks is left out with a note;
    what is named must be there.
    """
    chosen: dict[str, Task] = {}
    notes = []
    for pattern in wanted:
        is_glob = pattern == "all" or any(c in pattern for c in "*?[")
        names = matching("*" if pattern == "all" else pattern, source.tasks) if is_glob else [pattern]
        if not names or names[0] not in source.tasks:
            raise unknown("task", pattern, source.tasks, "(see: bench list tasks; your own: ./FILE.toml)")
        for name in names:
            task = source.tasks[name]
            if task.trained_on is not None:
                if not is_glob:
                    raise UsageError(
                        f"{task.title} has no training rows: run {task.trained_on}, whose model predicts it"
                    )
                continue
            try:
                source.count(name)
            except BenchError as error:
                if not is_glob:
                    raise
                notes.append(f"{name} is left out: {error}")
                continue
            chosen[name] = task
    if not chosen:
        raise UsageError(f"no task to run in {source.name}: " + "; ".join(notes))
    return list(chosen.values()), notes


def _corpus(source: Source) -> dict[str, str]:
    """Return the fingerprints of all tasks with training texts that ``source`` has at hand."""
    if source.name == "hub":
        # Every task would have to be downloaded to know; the hub's data set has one content.
        return {"hub": "nyu-mll/glue"}
    return {
        name: source.fingerprint(name)
        for name, task in source.tasks.items()
        if task.trained_on is None and at_hand(source, name)
    }


def make_grid(
    settings: Settings,
    source: Source,
    tasks: Sequence[Task],
    strategies: Sequence[StrategySpec],
    seeds: Sequence[int],
) -> list[Cell]:
    """Return the cells in the order in which they run: seed by seed, task by task, so that tables fill evenly."""
    prints = {task.name: source.fingerprint(task.name) for task in tasks}
    corpus, known = digest(_corpus(source)), dict[Any, Any]()
    # What gets its budget from another strategy's run comes after it.
    in_order = sorted(strategies, key=lambda spec: spec.create().budget() is not None)
    return [
        Cell(settings, task, strategy, seed, source.name, prints[task.name], corpus, known=known)
        for seed in seeds
        for task in tasks
        for strategy in in_order
    ]
