"""Searching the options of strategies on rows held out of train, and keeping what was chosen for later runs."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.data.source import Source
from bench.data.tasks import Task
from bench.errors import BenchError, UsageError, quoted
from bench.experiment.grid import Cell, make_grid
from bench.experiment.search import searched, trial
from bench.files import digest, write_json
from bench.remote import mirror
from bench.reporting.records import folder_name
from bench.reporting.schema import TunedSection
from bench.settings import Settings
from bench.spec import StrategySpec

TRIALS, CHOSEN = "tune", "tuned"
"""Folders of the results: where the trials' runs live, and where what was chosen does."""
_MOST = 1000  # trials, as on the command line: a file must not make this process draw more


class Tried(msgspec.Struct):
    """One trial: the strategy as it ran, and its score on the rows held out; null where it has none."""

    strategy: str
    score: float | None


class Chosen(msgspec.Struct):
    """What a search chose for a strategy on a task of a preset, as its file holds it."""

    preset: str
    task: str
    strategy: str  # as it was asked for
    chosen: str  # with the options that scored best
    signature: str  # of a run under the settings that it was chosen under
    tuned: TunedSection
    tried: list[Tried]


@dataclass(frozen=True)
class Search:
    """A search of so many ``trials``, drawn under ``seed``, each trained with every one of ``training_seeds``."""

    trials: int
    seed: int
    training_seeds: tuple[int, ...] = (0,)

    def of(self, spec: StrategySpec) -> list[StrategySpec]:
        """Return the trials of ``spec``, the first as it is; two of them may be equal."""
        return [trial(spec, self.seed, number) for number in range(self.trials)]

    def cells(
        self, settings: Settings, source: Source, tasks: Sequence[Task], specs: Sequence[StrategySpec]
    ) -> list[Cell]:
        """Return the cells of all trials of ``specs`` on ``tasks``, each once; ``source`` holds rows out."""
        trials = dict.fromkeys(one for spec in specs for one in self.of(spec))
        return make_grid(settings, source, tasks, list(trials), self.training_seeds)

    def choose(self, whole: Cell, records: Iterable[dict[str, Any]]) -> Chosen | None:
        """Return the trial with the best mean score over the training seeds, of equals the first; None: no score.

        ``records`` are of all trials on one task, ``whole`` is the cell there of the strategy, as it was asked for,
        that trains on all rows.
        """
        spec, runs = whole.strategy, list(records)
        scores: dict[str, list[float | None]] = defaultdict(list)
        for run in runs:
            scores[run["strategy"]].append(run["main"]["value"] if run["status"] == "done" else None)
        tried = [Tried(str(one), _mean(scores[str(one)])) for one in self.of(spec)]
        best = max((one.score for one in tried if one.score is not None), default=None)
        if best is None:
            return None
        done = next(run for run in runs if run["status"] == "done")
        section = TunedSection(
            strategy=str(spec),
            trials=self.trials,
            seed=self.seed,
            training_seeds=self.training_seeds,
            metric=done["main"]["metric"],
            held_out=done["data"]["rows"]["dev"],
            score=best,
            as_shipped=tried[0].score,
        )
        chosen = next(one.strategy for one in tried if one.score == best)
        return Chosen(whole.settings.preset, whole.task.name, str(spec), chosen, whole.signature, section, tried)


def _mean(scores: Sequence[float | None]) -> float | None:
    """Return the mean; None where there is none, or one is missing: a trial counts with all its seeds or not at all."""
    there = [score for score in scores if score is not None]
    return sum(there) / len(there) if there and len(there) == len(scores) else None


def searchable(specs: Sequence[StrategySpec]) -> tuple[list[StrategySpec], list[str]]:
    """Return those of ``specs`` with something to search, and a note that names the others; UsageError if all are."""
    without = [str(spec) for spec in specs if not searched(spec)]
    if len(without) == len(specs):
        raise UsageError(
            f"nothing to search: no option of {', '.join(without)} declares a range (see: bench docs tuning)"
        )
    note = f"without a range to search, and left out: {', '.join(without)}"
    return [spec for spec in specs if searched(spec)], [note] if without else []


def file_of(results: Path, preset: str, task: str, strategy: str) -> Path:
    """Return the file that holds what was chosen for ``strategy``, as it was asked for."""
    name = f"{folder_name(strategy)}-{digest(strategy)[:8]}.json"
    return results.joinpath(CHOSEN, folder_name(preset), folder_name(task), name)


def keep(chosen: Chosen, results: Path) -> Path:
    """Write ``chosen`` into its file, over what was chosen before, and return that file."""
    path = file_of(results, chosen.preset, chosen.task, chosen.strategy)
    write_json(path, msgspec.to_builtins(chosen))
    return path


def chosen_for(cell: Cell, results: Path) -> Chosen | None:
    """Return what was chosen for the strategy and task of ``cell``; None if nothing was. BenchError: a corrupt file.

    What the file names is no strategy to load: it has to be one of the trials that its search makes of the cell's.
    """
    path = file_of(results, cell.settings.preset, cell.task.name, str(cell.strategy))
    again = f"delete it and tune again: {_command(cell, results)}"
    try:
        chosen = msgspec.json.decode(path.read_bytes(), type=Chosen)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}; {again}") from error
    except msgspec.MsgspecError as error:
        raise BenchError(f"{path} is corrupt: {error}; {again}") from error
    asked = (cell.settings.preset, cell.task.name, str(cell.strategy))
    if (chosen.preset, chosen.task, chosen.strategy) != asked:
        raise BenchError(f"{path} is of {chosen.strategy!r} on {chosen.task!r} under {chosen.preset!r}; {again}")
    return chosen


def chosen_before(cells: Iterable[Cell], search: Search, results: Path) -> list[str]:
    """Return in words what another search than ``search`` has chosen for ``cells``, which keeping its own replaces."""
    mirror.bring(results / CHOSEN)
    lines = []
    for cell in cells:
        try:
            chosen = chosen_for(cell, results)
        except BenchError as error:  # nothing that could be used is lost
            lines.append(f"{error}")
            continue
        if chosen is None:
            continue
        other = chosen.tuned
        asked = (search.trials, search.seed, search.training_seeds, cell.signature)
        if (other.trials, other.seed, other.training_seeds, chosen.signature) != asked:
            elsewhere = ", under other settings or data" if chosen.signature != cell.signature else ""
            lines.append(
                f"{chosen.chosen} for {chosen.strategy} on {chosen.task} ({other.trials} trials, seed {other.seed}, "
                f"{len(other.training_seeds)} training seeds{elsewhere})"
            )
    return lines


def _trial_of(cell: Cell, chosen: Chosen, results: Path) -> StrategySpec:
    """Return the trial that was chosen; BenchError where the search that the file names does not make it."""
    trials = (trial(cell.strategy, chosen.tuned.seed, number) for number in range(min(chosen.tuned.trials, _MOST)))
    for one in trials:
        if str(one) == chosen.chosen:
            return one
    path = file_of(results, cell.settings.preset, cell.task.name, str(cell.strategy))
    raise BenchError(
        f"{path} has chosen {quoted(chosen.chosen)}, which its search does not try (or no longer, the ranges having "
        f"changed); delete it and tune again: {_command(cell, results)}"
    )


def as_tuned(cells: Sequence[Cell], results: Path) -> tuple[list[Cell], list[str]]:
    """Return ``cells`` with the options chosen for them, and notes; UsageError for one that was not tuned.

    Strategies without a range, and tasks that a strategy does not support, stay as they are.
    """
    mirror.bring(results / CHOSEN)
    changed: list[Cell] = []
    elsewhere: dict[str, None] = {}
    as_shipped = {str(cell.strategy): None for cell in cells if not searched(cell.strategy)}
    for cell in cells:
        if str(cell.strategy) in as_shipped or cell.instance.supports(cell.task):
            changed.append(cell)
            continue
        if (chosen := chosen_for(cell, results)) is None:
            raise UsageError(f"{cell.strategy} is not tuned on {cell.task.name}; type: {_command(cell, results)}")
        if chosen.signature != cell.signature:
            elsewhere[f"{cell.strategy} on {cell.task.name}"] = None
        changed.append(dataclasses.replace(cell, strategy=_trial_of(cell, chosen, results), tuned=chosen.tuned))
    notes = [f"without a range to search, and as shipped: {', '.join(as_shipped)}"] if as_shipped else []
    if elsewhere:
        notes.append(f"chosen under other settings or other data than these: {', '.join(elsewhere)}")
    return changed, notes


def _command(cell: Cell, results: Path) -> str:
    where = "" if str(results) == "results" else f" --results {mirror.shown(results)}"
    return (
        f"bench tune --preset {cell.settings.preset} --strategy '{cell.strategy}' --tasks {cell.task.name} --trials 8"
        f"{where}, with the --set, --max-train and --data-dir of this command"
    )
