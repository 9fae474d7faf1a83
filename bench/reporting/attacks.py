"""The transfer matrix: what students trained with each strategy keep of their accuracy under each attack."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.reporting.beyond import UNCORRECTED, Labelled, by_task, compared_on, score_and_gain, students
from bench.reporting.evaluations import AttackSection, Evaluation, attacks_beside
from bench.reporting.sheet import Sheet

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "preset", "task", "strategy", "recipe", "held_out", "rows", "budget", "n_seeds", "clean", "mean", "baseline",
    "difference", "gain_low", "gain_high", "interval_covers", "n_paired", "p_holm", "verdict", "success", "queries",
    "words_changed", "similarity", "failed",
)  # fmt: skip
"""Of a row for a program: a strategy on a task under an attack; all but counts are means over seeds."""
_MEANS = ("clean", "success", "queries", "words_changed", "similarity", "failed")
_OWN = "‡"


def transfer(
    results: Path, runs: Labelled, baseline: str, strategies: Collection[str]
) -> tuple[list[Sheet], pd.DataFrame]:
    """Return a table for each task, trained with x attacked by, and the same as rows for a program.

    A cell is the accuracy under attack and the gain over ``baseline`` under the same attack on the same rows, with its
    95 % interval; a student trained on the texts of the very recipe is marked. ``strategies`` are shown, and the
    baseline. NothingBeyond where none was attacked.
    """
    rows: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for name in attacks_beside(results, (record for _, record in runs)):
        for row, evaluations in compared_on(results, runs, name, baseline, notes):
            if own := [one for one in evaluations if one.attack is not None]:
                rows.append(row | {"sentences": _sentences(own[0])} | _means(row["strategy"], own))
    nothing = "none of these runs was attacked: bench attack --recipes deepwordbug,pwws"
    return by_task(rows, {*strategies, baseline}, _sheet, [*notes], COLUMNS, nothing)


def _means(strategy: str, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    sections = [e.attack for e in evaluations if e.attack is not None]
    first, means = sections[0], {"rows": evaluations[0].rows}
    return {
        **means,
        "recipe": first.recipe,
        "budget": first.budget,
        "held_out": not trained_on(strategy, first),
        **{key: _mean(getattr(section, key) for section in sections) for key in _MEANS},
    }


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def trained_on(strategy: str, attack: AttackSection) -> bool:
    """Return whether ``strategy``, or one inside it, trains on texts of the very recipe, whatever its options."""
    return attack.strategy.partition("[")[0] in re.split(r"[+()\[\],]", strategy)


def _sentences(evaluation: Evaluation) -> list[str]:
    attack = evaluation.attack
    assert attack is not None
    of = f" of {evaluation.official:,}" if evaluation.official else ""
    return [f"{evaluation.rows:,}{of} dev rows, at most {attack.budget:,} queries each", *attack.instead]


def _sheet(preset: str, task: str, rows: Sequence[Mapping[str, Any]]) -> Sheet:
    baseline = rows[0]["baseline"]
    columns = students(rows, "no attack", "clean")
    by_cell = {(row["strategy"], row["recipe"]): row for row in rows}
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        of_recipe = [by_cell.get((str(name), recipe)) for name in columns[0][1]]
        columns.append((recipe, [score_and_gain(row, baseline, _mark(row)) for row in of_recipe]))
    notes = [
        f"accuracy on the same rows of dev as they are and under attack; below it the gain over {baseline} under the "
        f"same attack with its 95 % interval; {UNCORRECTED}",
        "no attack is of the same rows and runs, a range where recipes had other ones",
    ]
    if not all(row["held_out"] for row in rows):
        notes.append(f"{_OWN} trained on texts that the very recipe makes: the attack is not held out")
    recipes_by_sentence: dict[str, dict[str, None]] = {}
    for row in rows:
        for sentence in row["sentences"]:
            recipes_by_sentence.setdefault(sentence, {})[row["recipe"]] = None
    notes += [f"{', '.join(recipes)}: {sentence}" for sentence, recipes in recipes_by_sentence.items()]
    return Sheet(preset, columns, notes, title=f"preset {preset}, {task}: trained with x attacked by")


def _mark(row: Mapping[str, Any] | None) -> str:
    return "" if row is None or row["held_out"] else f" {_OWN}"
