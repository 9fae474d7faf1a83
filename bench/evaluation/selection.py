"""Model selection as a named object, so that nobody reports the number they selected on by accident."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.errors import unknown


@dataclass(frozen=True)
class Selection:
    """Which of a run's students is reported, and on which dev rows.

    ``chooses`` and ``reports`` say which half of the dev rows ("even", "odd") or "all" of them; without
    ``chooses`` the last student is taken. ``optimistic`` marks rules that report what they selected on.
    """

    name: str
    chooses: str | None
    reports: str
    optimistic: bool

    def rows_to_choose(self, n: int) -> np.ndarray | None:
        """Return the dev rows (of ``n``) on which checkpoints compete, or None if the last one is taken."""
        return None if self.chooses is None else _half(n, self.chooses)

    def rows_to_report(self, n: int) -> np.ndarray:
        """Return the dev rows (of ``n``) on which the chosen student is scored."""
        return _half(n, self.reports)


def _half(n: int, which: str) -> np.ndarray:
    # The same split for every run of a task; shuffled, because some dev sets come sorted by source.
    order = np.random.default_rng(0).permutation(n)
    return np.sort({"even": order[0::2], "odd": order[1::2], "all": order}[which])


SELECTIONS = {
    rule.name: rule
    for rule in (
        Selection("last", None, "all", False),
        Selection("split-dev", "even", "odd", False),
        Selection("best-dev", "all", "all", True),  # as papers do
    )
}


def selection(name: str) -> Selection:
    """Return the rule called ``name``."""
    if name not in SELECTIONS:
        raise unknown("selection rule", name, SELECTIONS)
    return SELECTIONS[name]
