"""What learned adversaries were worth, from the records' numbers to means and the note on those without a lead."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import msgspec

from bench.reporting.schema import Done

LEAD = 0.05
"""An adversary that raises the divergence by a smaller share than this has no lead over its untrained self; nor has one
whose raise is within two standard errors over rows and runs."""


def adversary_means(runs: Sequence[Done]) -> dict[str, float] | None:
    """Return the means over ``runs`` of the numbers in their sections ``adversary``; None where they have none."""
    sections = [msgspec.structs.asdict(run.adversary) for run in runs if run.adversary]
    if not sections:
        return None
    there = {key: [one[key] for one in sections if one[key] is not None] for key in sections[0]}
    # The standard error is that of the mean over runs.
    root = math.sqrt(len(sections))
    return {key: statistics.fmean(v) / (root if key == "standard_error" else 1) for key, v in there.items() if v}


def without_lead(means: Mapping[str, float]) -> str | None:
    """Return in figures that the adversary of these ``means`` has no lead, or None where it has one."""
    now, start = means["divergence"], means["divergence_at_start"]
    error = means["standard_error"]
    if now - start > max(LEAD * start, 2 * error):
        return None
    moved = f", KL to its start {means['kl_from_start']:.1g}" if "kl_from_start" in means else ""
    return f"{now:.3g} against {start:.3g}, the difference ± {error:.1g}{moved}"
