"""What else can be said of a leaderboard: how its numbers are made, and the settings behind them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.reporting.adversary import NO_LEAD
from bench.reporting.common_ground import of_other_budgets
from bench.reporting.leaderboard import PLAIN_KD, REFERENCE
from bench.reporting.marks import FIGURES_APART, ON_COSTS, ON_SCORES
from bench.reporting.notes import Rows, by_value, line_name
from bench.reporting.points import points
from bench.reporting.sheet import Sheet, plain_rows
from bench.reporting.summary import ordered

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

SECOND_DEVS = {
    "dev_mismatched": "MNLI's mismatched dev set",
    "shifted": "dev rows with more of the words that are rare in training",
}
"""Splits beside dev that are scored and are in no average."""


def details(comparison: Comparison) -> list[str]:
    """Return the notes for who wants to know how every column comes about."""
    rows = plain_rows(comparison.tasks)
    main = [row for row in rows if row["main"]]
    return [
        *_terms(comparison),
        *_on_scores(main),
        *_on_options(main),
        *_on_settings(rows),
        *_on_searches(rows),
        *_figures_apart(main),
    ]


def _terms(comparison: Comparison) -> Iterator[str]:
    """Yield what every column means."""
    baseline = repr(comparison.baseline)
    yield (
        f"gain: the plain average over tasks of the differences to {baseline}, over the seeds that both have; its "
        "interval takes in dev rows and seeds, which are crossed, and these very tasks"
    )
    yield (
        "verdict: the larger of two p at 5 %, that of one sign-flip test per strategy over all its (task, seed) cells "
        "and that of the interval, after Holm's correction over strategies; marks per task are secondary"
    )
    yield (
        "tasks like these: a random-effects meta-analysis of the same differences, each weighted by its own variance; "
        "the interval is Hartung's and Knapp's, or that of the tasks' own errors where it is wider"
    )
    yield "new task: where the gain on a task not among these is expected, a 95 % prediction interval"
    yield f"passes: rows through all models, a backward pass as two, over those of {PLAIN_KD!r}; time: training seconds"
    yield "won: share of the (task, seed) cells on which the strategy is above the baseline, ties as half"


def _on_scores(rows: Rows) -> Iterator[str]:
    yield "metric: " + by_value({row["task"]: row["metric"] for row in rows})
    usual: dict[str, set[int]] = {}
    for row in rows:
        usual.setdefault(row["task"], set()).add(row["n_seeds"])
    yield "seeds: " + by_value({task: " to ".join(map(str, sorted({min(n), max(n)}))) for task, n in usual.items()})
    others = ", ".join(of_other_budgets(rows))
    but = f" but {others}, of another budget ({ON_SCORES['budget'][0]})" if others else ""
    yield f"student updates, the same for every strategy{but}: " + by_value(
        {row["task"]: row["student_updates"] for row in rows if "budget" not in row["warnings"]}
    )
    if any(row["reference"] for row in rows):
        yield f"{REFERENCE}: the student without a teacher, a reference and not a strategy"


def _on_options(rows: Rows) -> Iterator[str]:
    names = dict.fromkeys(row["strategy"] for row in rows)
    for name in names:
        options = [row["options"] for row in rows if row["strategy"] == name]
        # Options that a strategy has got since some of the runs are no difference.
        shared = set.intersection(*map(set, options))
        if any(one[key] != options[0][key] for one in options for key in shared):
            yield f"{name}: its options are not the same on every task"
    given = {(name, _options(own)) for row in rows for name, own in row["preset_options"].items()}
    for strategy, text in sorted(given):
        yield f"{strategy}: this preset's setting, {text}; its record holds what took effect"


def _options(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items()))


def _on_settings(rows: Rows) -> Iterator[str]:
    settings = {line_name(row): row["setting"] for row in rows}
    yield "signature: " + ", ".join(f"{name} {setting}" for name, setting in settings.items())


def _on_searches(rows: Rows) -> Iterator[str]:
    """Yield what was searched and chosen, a line for each tuned strategy."""
    for strategy in dict.fromkeys(row["strategy"] for row in rows if row["tuned"]):
        tuned = [row for row in rows if row["strategy"] == strategy and row["tuned"]]
        trials = " and ".join(sorted({str(row["tuned"]["trials"]) for row in tuned}))
        choices = "; ".join(
            f"{line_name(row)} {row['tuned']['chosen']} ({points(row['tuned']['score'])} there, as shipped "
            f"{points(row['tuned']['as_shipped'])}; {row['tuned']['held_out']:,} rows)"
            for row in tuned
        )
        yield f"{strategy}: the best of {trials} trials on rows held out of train: {choices}"


def _figures_apart(rows: Rows) -> Iterator[str]:
    """Yield the figures of the marks that have none under the table, a line for each mark of a strategy."""
    names = {"adversary": NO_LEAD} | {key: meaning for key, (_, meaning) in ON_COSTS.items()}
    for key, (sign, _) in {**ON_SCORES, **ON_COSTS}.items():
        for strategy in dict.fromkeys(row["strategy"] for row in rows if key in FIGURES_APART & {*row["warnings"]}):
            own = [row for row in rows if row["strategy"] == strategy and key in row["warnings"]]
            yield f"{sign} {strategy}: {names[key]}: {by_value({line_name(row): row['warnings'][key] for row in own})}"


def second_devs(comparison: Comparison) -> list[Sheet]:
    """Return the scores on splits beside dev, a table for each, strategies down and tasks across."""
    rows = [row for row in plain_rows(comparison.tasks) if row["main"]]
    names = [row["strategy"] for row in ordered(comparison)]
    sheets = []
    for split, about in SECOND_DEVS.items():
        scores: dict[str, dict[str, float]] = defaultdict(dict)
        for row in rows:
            if (value := row["metrics"].get(f"{split}.{row['metric']}")) is not None:
                scores[row["task"]][row["strategy"]] = value
        columns: list[tuple[str, list[str]]] = [("strategy", names)]
        columns += [(task, [points(own.get(name)) for name in names]) for task, own in scores.items()]
        title = f"scores on {about}: mean over seeds, in no average and no verdict"
        sheets += [Sheet(comparison.preset, columns, title=title)] if scores else []
    return sheets
