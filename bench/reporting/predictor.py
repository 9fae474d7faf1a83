"""Whether a number known without training a student ranks strategies as their gains do: rank correlations."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.reporting.sheet import plain_rows

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 5
"""Of fewer strategies a rank correlation says nothing."""
_95 = 1.959964


class Correlation(NamedTuple):
    """Spearman's rho over ``n`` strategies with its interval of 95 %; None where they are too few, or all alike."""

    n: int
    rho: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.rho is None:
            many = "1 strategy" if self.n == 1 else f"{self.n} strategies"
            return f"cannot tell from {many}, " + (f"{FEWEST} are needed" if self.n < FEWEST else "all alike")
        return f"{self.rho:+.2f} [{self.low:+.2f}, {self.high:+.2f}], {self.n} strategies"


def spearman(one: Sequence[float] | pd.Series, other: Sequence[float] | pd.Series) -> Correlation:
    """Return the rank correlation of two numbers of the same strategies.

    The interval is Fisher's, tanh(artanh rho ± 1.96 se) with se² = (1 + rho² / 2) / (n - 3) (Bonett & Wright, 2000). A
    perfect order, which would have none, counts there as one exchange of neighbours short of it.
    """
    from scipy.stats import spearmanr

    n = len(one)
    if n < FEWEST or 1 in (len({*one}), len({*other})):
        return Correlation(n)
    rho = float(spearmanr(one, other).statistic)
    most = 1 - 12 / (n * (n * n - 1))
    z, error = math.atanh(max(-most, min(most, rho))), math.sqrt((1 + rho * rho / 2) / (n - 3))
    return Correlation(n, rho, math.tanh(z - _95 * error), math.tanh(z + _95 * error))


def correlations(frame: pd.DataFrame, key: str = "teacher_stddev") -> dict[str, dict[str, Correlation]]:
    """Return by preset and task how ``key`` of the text quality ranks with the gain over the baseline.

    ``frame`` is what ``leaderboard`` returns; a task counts in its main setting, a strategy where it has both numbers.
    "all tasks" is over each strategy's mean of its ranks, as shares of the ranks on a task: no task's unit counts. The
    interval takes strategies for independent and their gains for exact: variants of one strategy, and few seeds, make
    it too narrow. Tuned rows are left out, as what they are variants of is in already.
    """
    import pandas as pd

    points: dict[str, list[tuple[str, str, float, float]]] = defaultdict(list)
    for row in plain_rows(frame):
        number, gain = (row["text_quality"] or {}).get(key), row["difference"]
        is_shipped = row["main"] and not row["tuned"] and row["strategy"] != row["baseline"]
        if is_shipped and number is not None and gain is not None:
            points[row["preset"]].append((row["task"], row["strategy"], number, gain))
    by_preset: dict[str, dict[str, Correlation]] = {}
    for preset, own in points.items():
        table = pd.DataFrame(own, columns=["task", "strategy", "number", "gain"])
        tasks = table.groupby("task", sort=False)
        by_preset[preset] = {str(task): spearman(part["number"], part["gain"]) for task, part in tasks}
        if len(by_preset[preset]) > 1:
            sizes = tasks["gain"].transform("size") + 1
            ranks = tasks[["number", "gain"]].rank().div(sizes, axis=0).groupby(table["strategy"]).mean()
            by_preset[preset]["all tasks"] = spearman(ranks["number"], ranks["gain"])
    return by_preset


def note(by_task: Mapping[str, Correlation], baseline: str) -> str:
    """Return ``by_task``, of one preset, as a line below a table."""
    where = "; ".join(f"{task} {correlation}" for task, correlation in by_task.items())
    return (
        f"T stddev (--full) against the gain over {baseline!r}, Spearman's rank correlation and 95 % interval, below 0 "
        f"as for images in its paper: {where}"
    )
