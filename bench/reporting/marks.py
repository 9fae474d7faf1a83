"""What makes a score mean less than it seems: seen in the records, marked in the table, explained below it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reporting.adversary import LEAD, without_lead
from bench.reporting.schema import Done

_FAILED_ROWS = 0.01
"""From this share on, rows that could not be rewritten are worth a note."""
_UNCHANGED = 0.001
"""A strategy that changes fewer of its texts does nothing to them."""
_MOSTLY_CLEAN = 0.5
"""A strategy that changes fewer of its texts shows the student clean text more often than not."""
_DUPLICATES = 0.5
"""From this share of texts that occur more than once a writer repeats itself."""
_DEV_IN_TRAIN = 0.01
"""GLUE's own dev sets share a few rows with train."""

ON_SCORES = {
    "budget": ("⇈", "another budget: the student updates that make up for what another strategy took"),
    "constant": ("=", "one answer for every dev row, or no better than the best constant answer"),
    "unchanged": ("∅", "changed none of the texts, or next to none"),
    "clean": ("○", "most of the texts that the strategy showed were the originals"),
    "adversary": (
        "≈",
        f"the adversary has no lead: on its texts teacher and student do not diverge {LEAD:.0%}, and two standard "
        "errors, more than on its untrained self's; with little KL to its start it has not learned, with much the "
        "student knows its words now",
    ),
    "repeats": ("≡", "half of the texts or more occur more than once: what wrote them repeats itself"),
    "rewriting": ("!", "rows that could not be rewritten stayed as they were"),
}
ON_TASKS = {"dev": ("¶", "dev rows that are training rows as well")}
ON_TEACHERS = {"teacher": ("#", "the teacher is not two standard errors better than the best constant answer on dev")}


def warnings(
    runs: Sequence[Done], quality: dict[str, float] | None, adversary: dict[str, float] | None = None
) -> dict[str, str]:
    """Return what a reader must be warned of in the score of ``runs``, one strategy's on a task: {mark: figures}.

    ``quality`` are the means of what the strategy did to the texts, ``adversary`` those of what one that learns was
    worth.
    """
    figures = {}
    if budgets := [run.budget for run in runs if run.budget]:
        updates = sorted({budget.updates for budget in budgets})
        many = f"{updates[0]:,}" if len(updates) == 1 else f"{updates[0]:,} to {updates[-1]:,}"
        what = {"forwards": "passes", "seconds": "time"}.get(budgets[0].kind, budgets[0].kind)
        figures["budget"] = f"{many} for {budgets[0].recipe_updates:,}, the {what} of {budgets[0].of}"
    if empty := sum(map(_is_constant, runs)):
        figures["constant"] = f"{empty} of {len(runs)} seeds"
    if quality and quality.get("changed", 1.0) < _UNCHANGED:
        figures["unchanged"] = f"{quality['changed']:.1%}"
    elif quality and quality.get("changed", 1.0) < _MOSTLY_CLEAN:
        figures["clean"] = f"{1 - quality['changed']:.0%}{_attacked(quality)}"
    if adversary and (said := without_lead(adversary)):
        figures["adversary"] = said
    if quality and quality.get("duplicates", 0.0) >= _DUPLICATES:
        figures["repeats"] = f"{quality['duplicates']:.0%}"
    if quality and quality.get("failed", 0.0) >= _FAILED_ROWS:
        figures["rewriting"] = f"{quality['failed']:.1%} of the rows"
    for run in runs:
        rows, teacher, constant = run.data.rows.get("dev", 0), run.teacher, constant_of(run)
        if (run.checks.dev_in_train or 0) > _DEV_IN_TRAIN * rows:
            figures["dev"] = f"{run.checks.dev_in_train} of {rows} rows"
        if teacher is None or teacher.dev is None or constant is None:
            continue
        if teacher.dev - constant <= 2 * teacher.standard_error:
            figures["teacher"] = f"{100 * teacher.dev:.1f} against {100 * constant:.1f}"
    return figures


def _attacked(quality: dict[str, float]) -> str:
    """Return what share of the rows an adversary attacked, and what share it changed; empty where there was none."""
    if "attacked" not in quality:
        return ""
    return f", {quality['attacked']:.0%} of the rows attacked and {1 - quality['attack_clean']:.0%} changed"


def constant_of(run: Done) -> float | None:
    """Return what the best constant answer scores on dev; in older records what the most frequent class of train."""
    if run.teacher and run.teacher.constant is not None:
        return run.teacher.constant
    return run.teacher.majority if run.teacher and run.checks.constant is None else run.checks.constant


def _is_constant(run: Done) -> bool:
    score, constant = run.main.value, run.checks.constant
    return run.checks.most_predicted == 1 or (score is not None and constant is not None and score <= constant)
