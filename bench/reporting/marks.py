"""What makes a score mean less than it seems: seen in the records, marked in the table, explained below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from bench.reporting.adversary import without_lead

if TYPE_CHECKING:
    import pandas as pd

_FAILED_ROWS = 0.01
"""From this share on, rows that could not be rewritten are worth a note."""
_REASONS = 2
"""How many reasons for that a note gives."""
_UNCHANGED = 0.001
"""A strategy that changes fewer of its texts does nothing to them."""
_MOSTLY_CLEAN = 0.5
"""A strategy that changes fewer of its texts shows the student clean text more often than not."""
_DUPLICATES = 0.5
"""From this share of texts that occur more than once a writer repeats itself."""
_DEV_IN_TRAIN = 0.01
"""GLUE's own dev sets share a few rows with train."""
_BUSY = 0.8
"""A run that had a processor for a smaller share of its seconds was timed on a machine busy with other work."""

ON_SCORES = {
    "budget": ("⇈", "another budget: the student updates that make up for what another strategy took"),
    "constant": ("=", "one answer for every dev row, or no better than the best constant answer"),
    "unchanged": ("∅", "changed none of the texts, or next to none"),
    "clean": ("○", "most of the texts that the strategy showed were the originals"),
    "adversary": ("≈", "the adversary has no lead over its untrained self"),
    "repeats": ("≡", "half of the texts or more occur more than once: what wrote them repeats itself"),
    "rewriting": ("!", "rows that could not be rewritten stayed as they were"),
}
ON_TASKS = {"dev": ("¶", "dev rows that are training rows as well")}
ON_TEACHERS = {"teacher": ("#", "the teacher is not two standard errors better than the best constant answer on dev")}

ON_COSTS = {
    "busy": ("◔", "timed on a machine busy with other work: these seconds are in no cost"),
    "machines": ("⇆", "timed on another machine than plain distillation: these seconds are in no cost"),
}
FIGURES_APART = {"adversary", *ON_COSTS}
"""Marks whose figures would take lines under the table: they are among the details."""


def trusted(runs: pd.DataFrame) -> pd.Series:
    """Return for each of ``runs`` whether its seconds are its own, and not those of a machine busy with other work.

    An older record, which does not say how busy the machine was, is trusted.
    """
    return ~(runs["cost.processor_share"] < _BUSY)


def warnings(
    runs: pd.DataFrame, quality: Sequence[dict[str, float] | None], adversary: Sequence[dict[str, float] | None]
) -> list[dict[str, str]]:
    """Return what a reader must be warned of in the score of each ``group`` of ``runs``: {mark: figures}.

    ``runs`` has the columns of the tidy frame, and groups are numbered from 0. ``quality`` are by group the means of
    what the strategy did to the texts, ``adversary`` those of what one that learns was worth.
    """
    figures: list[dict[str, str]] = [{} for _ in quality]
    for group, of_scores in (*_budgets(runs), *_constants(runs), *_busy(runs)):
        figures[group] |= of_scores
    reasons = _reasons(runs)
    for group, (own, texts, learned) in enumerate(zip(figures, quality, adversary, strict=True)):
        own |= _of_texts(texts or {}, reasons.get(group, ""))
        if learned and (no_lead := without_lead(learned)):
            own["adversary"] = no_lead
    for group, of_task in _of_tasks(runs):
        figures[group] |= of_task
    return figures


def _budgets(runs: pd.DataFrame) -> Iterator[tuple[int, dict[str, str]]]:
    other = runs[runs["budget.kind"].notna()]
    for group, own in other.groupby("group"):
        updates, first = sorted({*own["budget.updates"]}), own.iloc[0]
        many = f"{updates[0]:,}" if len(updates) == 1 else f"{updates[0]:,} to {updates[-1]:,}"
        what = {"forwards": "passes", "seconds": "time"}.get(first["budget.kind"], first["budget.kind"])
        yield group, {"budget": f"{many} for {first['budget.recipe_updates']:,}, the {what} of {first['budget.of']}"}


def _constants(runs: pd.DataFrame) -> Iterator[tuple[int, dict[str, str]]]:
    one_answer = (runs["checks.most_predicted"] == 1) | (runs["value"] <= runs["checks.constant"])
    counts = one_answer.groupby(runs["group"]).agg(["sum", "size"])
    for group, empty, seeds in counts[counts["sum"] > 0].itertuples(name=None):
        yield group, {"constant": f"{empty} of {seeds} seeds"}


def _busy(runs: pd.DataFrame) -> Iterator[tuple[int, dict[str, str]]]:
    busy = runs[~trusted(runs)]
    sizes = runs["group"].value_counts()
    for group, shares in busy.groupby("group")["cost.processor_share"]:
        least = f"a processor for {shares.min():.0%} of the time"
        yield group, {"busy": f"{len(shares)} of {sizes[group]} seeds, {least}"}


def _reasons(runs: pd.DataFrame) -> dict[int, str]:
    """Return by group why rows could not be rewritten, the most frequent reasons first."""
    failed = runs[runs["cost.failures"].fillna("{}") != "{}"]
    reasons = {}
    for group, own in failed.groupby("group")["cost.failures"]:
        counts = sum((Counter(msgspec.json.decode(text)) for text in own), Counter[str]())
        reasons[int(group)] = "".join(f", {why}: {n:,}" for why, n in counts.most_common(_REASONS))
    return reasons


def _of_texts(quality: Mapping[str, float], reasons: str) -> dict[str, str]:
    figures = {}
    if quality.get("changed", 1.0) < _UNCHANGED:
        figures["unchanged"] = f"{quality['changed']:.1%}"
    elif quality.get("changed", 1.0) < _MOSTLY_CLEAN:
        figures["clean"] = f"{1 - quality['changed']:.0%}{_attacked(quality)}"
    if quality.get("duplicates", 0.0) >= _DUPLICATES:
        figures["repeats"] = f"{quality['duplicates']:.0%}"
    if quality.get("failed", 0.0) >= _FAILED_ROWS:
        figures["rewriting"] = f"{quality['failed']:.1%} of the rows{reasons}"
    return figures


def _of_tasks(runs: pd.DataFrame) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield what is wrong with dev and with the teacher, which each strategy on the task shares."""
    shared = runs["checks.dev_in_train"].fillna(0).astype("int64")
    rows = runs["data.rows"].map(_dev_rows, na_action="ignore").fillna(0)
    leaking = shared > _DEV_IN_TRAIN * rows
    for group, both, whole in zip(runs["group"][leaking], shared[leaking], rows[leaking], strict=True):
        yield group, {"dev": f"{both} of {whole:.0f} rows"}
    constant = constant_of(runs)
    weak = runs[runs["teacher.dev"] - constant <= 2 * runs["teacher.standard_error"]]
    for group, dev, floor in zip(weak["group"], weak["teacher.dev"], constant[weak.index], strict=True):
        yield group, {"teacher": f"{100 * dev:.1f} against {100 * floor:.1f}"}


def _attacked(quality: Mapping[str, float]) -> str:
    """Return what share of the rows an adversary attacked, and what share it changed; empty where there was none."""
    if "attacked" not in quality:
        return ""
    return f", {quality['attacked']:.0%} of the rows attacked and {1 - quality['attack_clean']:.0%} changed"


@cache
def _dev_rows(by_split: str) -> int:
    return msgspec.json.decode(by_split).get("dev", 0)


def constant_of(runs: pd.DataFrame) -> pd.Series:
    """Return what the best constant answer scores on dev; in older records what the most frequent class of train."""
    return runs["teacher.constant"].fillna(runs["checks.constant"]).fillna(runs["teacher.majority"])
