"""What learned adversaries were worth: means of the records' numbers, their leads, and the note on those without."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.reporting.sheet import Sheet, plain_rows
from bench.reporting.statistics.paired import half_width

if TYPE_CHECKING:
    import pandas as pd

LEAD = 0.05
"""An adversary that raises the divergence by a smaller share than this has no lead over its untrained self; nor has one
whose raise is within two standard errors over rows and runs."""
NO_LEAD = (
    f"on the adversary's texts teacher and student do not diverge {LEAD:.0%}, and two standard errors, more than on "
    "its untrained self's; with little KL to its start it has not learned, with much the student knows its words now"
)
"""What the figures of one without a lead come to, in words."""
ABOUT_LEADS = (
    "lead: divergence of teacher and student on the adversary's texts over that on its untrained self's, for the "
    "student at the run's end and with the same noise; geometric mean over runs, 1 is no lead; its 95 % interval is "
    "over a task's seeds, or over tasks"
)
"""What the table of leads shows, in words."""


def adversary_means(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the means over each ``group`` of ``runs`` of their sections ``adversary``; missing where without.

    ``log_lead`` is the mean logarithm of a run's divergence over that at the start, over the ``leads`` runs in which
    both are above zero, ``log_lead_sd`` the runs' standard deviation.
    """
    import numpy as np

    own = runs.filter(like="adversary.").astype("float64").rename(columns=lambda name: name.removeprefix("adversary."))
    is_lead = (own["divergence"] > 0) & (own["divergence_at_start"] > 0)
    own["log_lead"] = np.log((own["divergence"] / own["divergence_at_start"]).where(is_lead))
    groups = own.groupby(runs["group"])
    means = groups.mean()
    # The standard error is that of the mean over runs.
    means["standard_error"] /= groups["rows"].count() ** 0.5
    leads = groups["log_lead"].count()
    return means.assign(leads=leads.where(leads > 0), log_lead_sd=groups["log_lead"].std())


class Lead(NamedTuple):
    """The geometric mean over ``runs`` of the divergence on an adversary's texts over that on its untrained self's.

    ``low`` to ``high`` is its 95 % interval: over a task's seeds, or over the means of several tasks; NaN without.
    """

    value: float
    runs: int
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        within = "" if math.isnan(self.low) else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.3f}{within}"


def lead(means: Iterable[Mapping[str, float] | None]) -> Lead | None:
    """Return the lead over all runs that ``means``, of groups of them, are of; None where none has one."""
    own = [group for group in means if group and "log_lead" in group]
    runs = sum(group["leads"] for group in own)
    if not runs:
        return None
    mean = sum(group["leads"] * group["log_lead"] for group in own) / runs
    logs = [group["log_lead"] for group in own]
    n, sd = (len(logs), statistics.stdev(logs)) if len(logs) > 1 else (int(runs), own[0].get("log_lead_sd", math.nan))
    half = half_width(sd / n**0.5, n - 1) if n > 1 and sd > 0 else math.nan
    return Lead(math.exp(mean), int(runs), math.exp(mean - half), math.exp(mean + half))


def sheets(frame: pd.DataFrame, by_task: bool = True) -> list[Sheet]:
    """Return one table per preset: strategies whose adversary learned down, their leads across, in all and by task.

    ``frame`` is what ``leaderboard`` returns; a task counts in its main setting. ``by_task``: with a column per task.
    """
    adversaries: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
    for row in plain_rows(frame):
        if row["main"] and lead([row["adversary"]]) is not None:
            adversaries[row["preset"]][row["strategy"]][row["task"]] = row["adversary"]
    return [_sheet(preset, adversaries[preset], by_task) for preset in sorted(adversaries)]


def _sheet(preset: str, adversaries: Mapping[str, Mapping[str, Any]], by_task: bool) -> Sheet:
    names, tasks = sorted(adversaries), list(dict.fromkeys(task for own in adversaries.values() for task in own))
    over_all = [lead(adversaries[name].values()) for name in names]
    columns: list[tuple[str, Sequence[str]]] = [("strategy", names), ("lead", list(map(str, over_all)))]
    columns.append(("runs", [str(one.runs) for one in over_all if one is not None]))
    if by_task and len(tasks) > 1:
        columns += [(task, [str(lead([adversaries[name].get(task)]) or "–") for name in names]) for task in tasks]
    return Sheet(preset, columns, [ABOUT_LEADS], title=f"preset {preset}: the adversary's lead")


def without_lead(means: Mapping[str, float]) -> str | None:
    """Return in figures that the adversary of these ``means`` has no lead, or None where it has one."""
    now, start = means["divergence"], means["divergence_at_start"]
    error = means["standard_error"]
    if now - start > max(LEAD * start, 2 * error):
        return None
    moved = f", KL to its start {means['kl_from_start']:.1g}" if "kl_from_start" in means else ""
    return f"{now:.3g} against {start:.3g}, the difference ± {error:.1g}{moved}"
