"""What learned adversaries were worth, from the records' numbers to means and the note on those without a lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

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


def adversary_means(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the means over each ``group`` of ``runs`` of their sections ``adversary``; missing where without."""
    own = runs.filter(like="adversary.").astype("float64").rename(columns=lambda name: name.removeprefix("adversary."))
    groups = own.groupby(runs["group"])
    means = groups.mean()
    # The standard error is that of the mean over runs.
    means["standard_error"] /= groups["rows"].count() ** 0.5
    return means


def without_lead(means: Mapping[str, float]) -> str | None:
    """Return in figures that the adversary of these ``means`` has no lead, or None where it has one."""
    now, start = means["divergence"], means["divergence_at_start"]
    error = means["standard_error"]
    if now - start > max(LEAD * start, 2 * error):
        return None
    moved = f", KL to its start {means['kl_from_start']:.1g}" if "kl_from_start" in means else ""
    return f"{now:.3g} against {start:.3g}, the difference ± {error:.1g}{moved}"
