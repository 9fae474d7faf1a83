"""Another budget than the recipe's student updates: as many passes, or as much time, as another strategy took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.experiment.grid import Cell
from bench.experiment.parts import Parts
from bench.files import write_json
from bench.remote import mirror
from bench.reporting.records import read_record

_BACKWARD = 2
"""Forward passes that a backward pass counts as: it computes the gradient of the inputs and that of the weights."""


def budget_of(cell: Cell, parts: Parts, results: Path) -> dict[str, Any]:
    """Return the record's ``budget`` section: how many updates ``cell`` makes, whose budget it has.

    Its strategy under the recipe's updates and the one whose budget it gets were run before, on this task and seed:
    the updates are to the recipe's as the one cost is to the other. What was found is kept beside the checkpoint, so
    that a run that is taken up again has the same horizon. BenchError where one of the two has no record.
    """
    kept = cell.folder(results) / "checkpoint" / "budget.json"
    mirror.fetch_file(kept)
    if kept.exists():
        return json.loads(kept.read_text())
    asked = cell.instance.budget()
    assert asked is not None
    (kind, of), (plain, other) = asked, cell.compared()
    own, theirs = _recorded(plain, cell, results), _recorded(other, cell, results)
    machines = sorted({str(run["provenance"]["hardware"]) for run in (own, theirs)})
    if kind == "seconds" and len(machines) > 1:
        raise BenchError(
            f"{plain.strategy} and {other.strategy} were timed on unlike machines ({'; '.join(machines)}): run "
            f"one of them again, --redo"
        )
    if kind == "seconds":
        amounts = [_seconds(run["cost"]) for run in (own, theirs)]
    else:
        sizes = _sizes(parts, cell, {*own["cost"]["forwards"], *theirs["cost"]["forwards"]})
        amounts = [_passes(run["cost"], sizes) for run in (own, theirs)]
    updates = own["cost"]["student_updates"]
    budget = {
        "kind": kind,
        "of": of,
        "updates": max(1, round(updates * amounts[1] / amounts[0])),
        "recipe_updates": updates,
    }
    write_json(kept, budget)
    return budget


def _recorded(wanted: Cell, cell: Cell, results: Path) -> dict[str, Any]:
    mirror.bring(wanted.folder(results))
    record = read_record(wanted.folder(results))
    if record is None or record["status"] != "done":
        raise BenchError(
            f"{cell.strategy} gets its budget from a finished run of {wanted}, which is not there: run "
            f"--strategy '{wanted.strategy}' first, or in the same command"
        )
    return record


def _seconds(cost: dict[str, Any]) -> float:
    """Return the seconds that training had a processor for: beside other work the clock's say what that work took."""
    share = cost.get("processor_share")
    return float(cost["train_seconds"]) * (1.0 if share is None else min(1.0, share))


def _sizes(parts: Parts, cell: Cell, roles: set[str]) -> dict[str, int]:
    """Return the parameters of the models of ``roles`` without embeddings, which are looked up and not multiplied."""
    models = {
        "student": lambda: parts.classifier("student", cell.task, cell.seed),
        "teacher": lambda: parts.teacher(cell.task.name).model,
        "generator": lambda: parts.generator.model,
    }
    return {role: models[role]().num_parameters(exclude_embeddings=True) for role in roles}


def _passes(cost: dict[str, Any], sizes: dict[str, int]) -> float:
    """Return the rows of all forward and backward passes of a run, weighed by the sizes of their models."""
    rows = {role: cost["forwards"].get(role, 0) + _BACKWARD * cost["backwards"].get(role, 0) for role in sizes}
    return sum(size * rows[role] for role, size in sizes.items())
