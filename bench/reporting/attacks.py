"""The transfer matrix: what students trained with each strategy keep of their accuracy under each attack."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.reporting.comparison import compare
from bench.reporting.evaluations import AttackSection, Evaluation, attacks_beside, evaluated_on, there
from bench.reporting.leaderboard import leaderboard, task_order
from bench.reporting.points import ABSENT, gain_with_bounds, lines, points
from bench.reporting.predictions import answers
from bench.reporting.sheet import Cell, Sheet, plain_rows
from bench.reporting.summary import BETTER
from bench.reporting.tidy import tidy

if TYPE_CHECKING:
    import pandas as pd

    from bench.reporting.schema import Record

COLUMNS = (
    "preset", "task", "strategy", "recipe", "held_out", "rows", "budget", "n_seeds", "clean", "mean", "baseline",
    "difference", "gain_low", "gain_high", "interval_covers", "n_paired", "p_holm", "verdict", "success", "queries",
    "words_changed", "similarity", "failed",
)  # fmt: skip
"""Of a row for a program: a strategy on a task under an attack; all but counts are means over seeds."""
_MEANS = ("clean", "success", "queries", "words_changed", "similarity", "failed")
_OWN = "‡"


def transfer(
    results: Path, records: Sequence[Record], baseline: str, strategies: Collection[str]
) -> tuple[list[Sheet], pd.DataFrame]:
    """Return a table for each task, trained with x attacked by, and the same as rows for a program.

    A cell is the accuracy under attack and the gain over ``baseline`` under the same attack on the same rows, with its
    95 % interval; a student trained on the texts of the very recipe is marked. ``strategies`` are shown, and the
    baseline. BenchError where no run was attacked.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for name in attacks_beside(results, records):
        rows += _under(results, records, name, baseline, notes)
    rows = [row for row in rows if row["strategy"] in {*strategies, baseline}]
    if not rows:
        raise BenchError("none of these runs was attacked; attack some: bench attack --recipes deepwordbug,pwws")
    places = sorted({(row["preset"], row["task"]) for row in rows}, key=lambda place: (place[0], task_order(place[1])))
    sheets = [_sheet(place, [row for row in rows if (row["preset"], row["task"]) == place]) for place in places]
    sheets[-1].notes += notes
    return sheets, pd.DataFrame([{key: row.get(key) for key in COLUMNS} for row in rows], columns=list(COLUMNS))


def _under(
    results: Path, records: Sequence[Record], name: str, baseline: str, notes: dict[str, None]
) -> list[dict[str, Any]]:
    """Return the rows of the attack ``name``, in the main setting of each task."""
    found, outdated = evaluated_on(results, records, name)
    notes |= dict.fromkeys(outdated)
    evaluations = {record.id: there(results / record.folder, name) for record in found}
    runs = tidy(found)
    frame = leaderboard(runs, baseline)
    predicted, _ = answers(results, runs, {*frame["split"]})
    rows = []
    for comparison in compare(frame, predicted, baseline):
        for row in plain_rows(comparison.tasks):
            own = [e for id in row["ids"] if (e := evaluations[id]) is not None and e.attack is not None]
            if not row["main"]:
                notes[f"{row['strategy']} on {row['task']}: runs of other settings are left out"] = None
            elif own:
                said = {"preset": comparison.preset, "said": _sentences(own[0])}
                rows.append(row | said | _means(row["strategy"], own))
    return rows


def _means(strategy: str, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    sections = [e.attack for e in evaluations if e.attack is not None]
    first, found = sections[0], {"rows": evaluations[0].rows}
    return {
        **found,
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


def _sheet(place: tuple[str, str], rows: Sequence[Mapping[str, Any]]) -> Sheet:
    preset, task = place
    baseline = rows[0]["baseline"]
    names = sorted({row["strategy"] for row in rows}, key=lambda name: (name != baseline, name))
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    by_cell = {(row["strategy"], row["recipe"]): row for row in rows}
    clean = {name: next(row["clean"] for row in rows if row["strategy"] == name) for name in names}
    seeds = {name: sorted({row["n_seeds"] for row in rows if row["strategy"] == name}) for name in names}
    columns: list[tuple[str, list[str | Cell]]] = [
        ("trained with", [*names]),
        ("seeds", ["-".join(map(str, seeds[name])) for name in names]),
        ("no attack", [points(clean[name]) for name in names]),
        *((recipe, [_cell(by_cell.get((name, recipe)), baseline) for name in names]) for recipe in recipes),
    ]
    notes = [
        f"accuracy on the same rows of dev as they are and under attack; below it the gain over {baseline} under the "
        "same attack with its 95 % interval, bold where better",
    ]
    if not all(row["held_out"] for row in rows):
        notes.append(f"{_OWN} trained on texts that the very recipe makes: the attack is not held out")
    said: dict[str, dict[str, None]] = {}
    for row in rows:
        for sentence in row["said"]:
            said.setdefault(sentence, {})[row["recipe"]] = None
    notes += [f"{', '.join(recipes)}: {sentence}" for sentence, recipes in said.items()]
    return Sheet(preset, columns, notes, title=f"preset {preset}, {task}: trained with x attacked by")


def _cell(row: Mapping[str, Any] | None, baseline: str) -> str | Cell:
    if row is None:
        return ABSENT
    score = points(row["mean"]) + ("" if row["held_out"] else f" {_OWN}")
    if row["strategy"] == baseline or row["difference"] is None:
        return score
    gain = gain_with_bounds(row["difference"], row["gain_low"], row["gain_high"])
    return lines(score, gain, bold=row["verdict"] == BETTER)
