"""What strategies do to the texts, from the records' numbers to one table per preset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from bench.reporting.adversary import lead
from bench.reporting.sheet import Sheet, plain_rows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Measure:
    """A number of the table: its key in the frame, its head, what it says, and how it is printed."""

    key: str
    head: str
    about: str
    form: Literal["share", "number", "fine", "count"] = "share"


MEASURES = (
    Measure("changed", "changed", "texts that differ from the original"),
    Measure("texts_per_row", "texts", "different texts that a row gave over the run, besides its own", "count"),
    Measure(
        "word_edit_rate_changed", "edits", "words of a changed text inserted, deleted or replaced, of its original"
    ),
    Measure("word_edit_rate", "edits, all", "the same over all texts: the strength that it came to"),
    Measure("teacher_label_kept", "label kept", "changed texts of which the teacher says what it says of the original"),
    Measure("teacher_label_kept_all", "label kept, all", "the same over all texts, changed or not"),
    Measure("similarity", "similar", "cosine of sentence embeddings of changed texts with their originals'", "number"),
    Measure("similarity_all", "similar, all", "the same over all texts", "number"),
    Measure(
        "divergence_before", "D clean", "divergence of teacher and student on the originals of changed texts", "number"
    ),
    Measure("divergence_before_all", "D clean, all", "the same over the originals of all texts", "number"),
    Measure("divergence_after", "D after", "divergence of teacher and student on changed texts", "number"),
    Measure("divergence_after_all", "D after, all", "the same over all texts", "number"),
    Measure(
        "teacher_stddev", "T stddev", "standard deviation of the teacher's mean probability (arXiv 2012.02909)", "fine"
    ),
    Measure("distinct_2", "distinct-2", "different pairs of neighbouring words, of all such pairs"),
    Measure("distinct_2_before", "distinct-2 before", "the same of the originals"),
    Measure("duplicates", "duplicates", "texts that occur more than once"),
    Measure("dev_overlap", "in dev", "changed texts that are a dev row"),
    Measure("truncated", "truncated", "texts cut at the maximum length"),
    Measure("failed", "failed", "rows that could not be rewritten and stayed as they were"),
    Measure("attacked", "attacked", "rows that an adversary asked its victim about; the others stay as they were"),
    Measure("attack_success", "fooled", "of the rows an adversary tried to change, those on which it did"),
    Measure("attack_clean", "left clean", "rows that an adversary left as they were: not attacked, skipped or failed"),
    Measure(
        "adversary_gain",
        "D learned",
        "divergence on a learned adversary's texts over that on its untrained self's; geometric mean over runs",
        "number",
    ),
    Measure("kl_from_start", "KL moved", "KL of its distribution of words to that at its start, in nats", "number"),
    Measure("queries_per_row", "queries", "texts per row that an adversary asked its victim about", "count"),
)


def quality_means(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the means over each ``group`` of ``runs`` of the numbers in their sections ``text_quality``.

    Of what was counted in rewriting come shares of the rows: ``failed``, and of an adversary's ``attacked`` (it asked
    its victim about them), ``attack_success`` among those it tried to change (it skips the others), ``attack_clean``
    (left as they were) and ``queries_per_row``. A number that only some runs have is the mean over those.
    """
    import pandas as pd

    own = runs.filter(like="text_quality.").drop(columns="text_quality.rewriting").astype("float64")
    own = own.rename(columns=lambda name: name.removeprefix("text_quality."))
    texts = runs["text_quality.rewriting"].fillna("{}")
    counted = texts.where(texts != "{}", runs["cost.rewritten"]).fillna("{}")
    keys = ("rows", "failed", "success", "failure", "skipped", "left out")
    by_text = {text: msgspec.json.decode(text) for text in counted.unique()}
    table = pd.DataFrame([[one.get(key, 0) for key in keys] for one in by_text.values()], [*by_text], keys, "float64")
    counts = table.loc[counted].set_axis(runs.index)
    rows = counts["rows"].where(counts["rows"] > 0)
    # The record's rate is over all texts, and an unchanged one adds nothing to it.
    own["word_edit_rate_changed"] = (own["word_edit_rate"] / own["changed"]).where(own["changed"] > 0)
    own["failed"] = counts["failed"] / rows
    tried = counts["success"] + counts["failure"]
    own["attack_success"] = (counts["success"] / tried).where((tried > 0) & rows.notna())
    is_attack = tried + counts["skipped"] + counts["left out"] > 0
    own["attacked"] = ((tried + counts["skipped"]) / rows).where(is_attack)
    own["attack_clean"] = (1 - counts["success"] / rows).where(is_attack)
    queries = runs["cost.attack_queries"].astype("float64")
    own["queries_per_row"] = (queries / rows).where(queries > 0)
    own["kl_from_start"] = runs["adversary.kl_from_start"]
    return own.groupby(runs["group"]).mean()


def quality(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per (preset, strategy) that makes texts: the numbers of ``MEASURES``, means over its tasks.

    ``frame`` is what ``leaderboard`` returns; a task counts in its main setting. ``tasks`` names those covered,
    ``n_seeds`` is the least number of seeds on any of them. A number that no task has is null. ``adversary_gain`` is
    the lead of an adversary that learned over all its runs.
    """
    import pandas as pd

    keys, measures = ["preset", "strategy"], [measure.key for measure in MEASURES]
    own = frame[frame["main"].astype(bool) & frame["text_quality"].map(bool)]
    numbers = pd.DataFrame(own["text_quality"].tolist(), index=own.index).reindex(columns=measures).astype("float64")
    groups = own[[*keys, "task", "n_seeds"]].join(numbers).groupby(keys, sort=True)
    table = groups.agg(n_tasks=("task", "size"), n_seeds=("n_seeds", "min")).join(groups[measures].mean())
    leads = {key: lead(means) for key, means in own.groupby(keys)["adversary"]}
    table["adversary_gain"] = [None if (one := leads[key]) is None else one.value for key in table.index]
    table["adversary_gain"] = table["adversary_gain"].astype("float64")
    return table.join(groups["task"].agg(tuple).rename("tasks")).reset_index()


_MAIN = (
    "changed",
    "word_edit_rate_changed",
    "teacher_label_kept",
    "similarity",
    "divergence_after",
    "texts_per_row",
    "failed",
)
"""What a first look needs, and 80 columns have room for."""


def sheets(frame: pd.DataFrame, full: bool = True) -> list[Sheet]:
    """Return one table per preset of what ``quality`` returns: strategies down, numbers across; ``full``: all."""
    tables = []
    rows = plain_rows(frame)
    for preset in sorted({row["preset"] for row in rows}):
        of_preset = [row for row in rows if row["preset"] == preset]
        there = [measure for measure in MEASURES if any(row[measure.key] is not None for row in of_preset)]
        measures = [measure for measure in there if full or measure.key in _MAIN] or there
        columns = [("strategy", [row["strategy"] for row in of_preset])]
        columns += [("tasks", [str(row["n_tasks"]) for row in of_preset])]
        columns += [(m.head, [printed(row[m.key], m.form) for row in of_preset]) for m in measures]
        notes = _notes(of_preset, measures)
        left_out = ", ".join(measure.head for measure in there if measure not in measures)
        tables.append(Sheet(preset, columns, [*notes, f"more with --full: {left_out}"] if left_out else notes))
    return tables


def printed(value: float | None, form: Literal["share", "number", "fine", "count"]) -> str:
    """Return ``value`` as a table shows a ``Measure`` of that ``form``."""
    if value is None:
        return "–"
    return {"share": f"{value:.1%}", "number": f"{value:.3f}", "fine": f"{value:.5f}", "count": f"{value:.1f}"}[form]


def _notes(rows: Sequence[Mapping[str, Any]], measures: Sequence[Measure]) -> list[str]:
    """Return what every column means, and which tasks each strategy's means are over."""
    about = (
        "what strategies that make texts did to a fixed sample of training rows, as the models read them; means over "
        "tasks of means over seeds"
    )
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in rows:
        groups[row["tasks"]].append(row["strategy"])
    whose = [f" of {', '.join(names)}" if len(groups) > 1 else "" for names in groups.values()]
    tasks = [f"tasks{of}: {', '.join(names)}" for of, names in zip(whose, groups, strict=True)]
    return [about, *(f"{measure.head}: {measure.about}" for measure in measures), *tasks]
