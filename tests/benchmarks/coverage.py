"""How often 95 % intervals of a gain hold the true one, and how often verdicts raise a false alarm.

Students are made up with a known true gain (tests/simulated.py): about 12 % of rows discordant, half of that a property
of the row, a true gain of some 2 points. The first table is per task, the second of whole comparisons. Type:
python tests/benchmarks/coverage.py [--repeats 1000] [--only coverage|bootstrap|verdicts]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[levels]) for levels in (2, 1)]

from simulated import World, pigeonhole  # noqa: E402

from bench.reporting.statistics.over_tasks import average, meta_analysis  # noqa: E402
from bench.reporting.statistics.paired import (  # noqa: E402
    Interval,
    crossed_interval,
    half_width,
    least_error,
    paired_interval,
    seeds_interval,
)
from bench.reporting.statistics.pseudo_values import pseudo_values  # noqa: E402
from bench.reporting.statistics.sign_flip import holm, sign_flips  # noqa: E402

ROWS, SEEDS, METRICS = (277, 872, 9815), (3, 5, 10), ("accuracy", "matthews", "f1", "pearson")
SEED_SDS = {0.012: 0.3, 0.04: 1.0}
"""A seed's shift, and the standard deviation of accuracy in points that it comes to."""


WAYS = ("t over seeds", "Satterthwaite", "ours")
"""The t interval over seeds; the crossed variance with Satterthwaite's degrees of freedom; what the tables show."""


def coverage(repeats: int) -> Iterator[str]:
    """Yield the table of coverage and mean width in points, of three intervals on the same students."""
    yield (
        "| metric | rows | seeds | "
        + " | ".join(f"{name}, seed sd {sd}" for name in WAYS for sd in SEED_SDS.values())
        + " |"
    )
    yield "|---" * (3 + 2 * len(WAYS)) + "|"
    for metric in METRICS:
        for rows in ROWS:
            for seeds in SEEDS:
                cells = [_of_worlds(World(metric, seed_sd=sd), rows, seeds, repeats) for sd in SEED_SDS]
                columns = [cell[which] for which in range(len(WAYS)) for cell in cells]
                yield f"| {metric} | {rows:,} | {seeds} | {' | '.join(columns)} |"


def _of_worlds(world: World, rows: int, seeds: int, repeats: int) -> list[str]:
    rng, truth = np.random.default_rng(rows + seeds), world.truth()
    found: list[list[tuple[float, float]]] = [[] for _ in WAYS]
    for _ in range(repeats):
        strategy, baseline, labels = world.draw(rng, seeds, rows)
        ours, theirs = (pseudo_values(part, labels, world.metric) for part in (strategy, baseline))
        gains = ours[0] - theirs[0]
        crossed = crossed_interval(
            ours[1] - theirs[1], float(gains.mean()), least_error(world.metric, ours[1], theirs[1])
        )
        half = half_width(crossed.se, satterthwaite(ours[1] - theirs[1]))
        found[0].append(seeds_interval(gains)[1:3])
        found[1].append((crossed.gain - half, crossed.gain + half))
        found[2].append(crossed[1:3])
    return [_told(intervals, truth) for intervals in found]


def satterthwaite(differences: np.ndarray) -> float:
    """Return the degrees of freedom of the same variance after Satterthwaite."""
    seeds, rows = differences.shape
    of_seeds, of_rows, mean = differences.mean(axis=1), differences.mean(axis=0), differences.mean()
    dfs = np.array([seeds - 1, rows - 1, (seeds - 1) * (rows - 1)])
    squares = np.array([rows * np.sum((of_seeds - mean) ** 2), seeds * np.sum((of_rows - mean) ** 2), 0.0])
    squares[2] = np.sum((differences - mean) ** 2) - squares.sum()
    parts = np.maximum(squares / dfs, squares[2] / dfs[2])
    return float((parts @ [1, 1, -1]) ** 2 / np.sum(parts**2 / dfs))


def _told(intervals: list[tuple[float, float]], truth: float) -> str:
    """Return the coverage and the mean width in points. Without an interval (equal gains) nothing is covered."""
    low, high = np.array(intervals).T
    return f"{np.mean((low <= truth) & (truth <= high)):.1%} ({100 * np.nanmean(high - low):.1f})"


def bootstrap(repeats: int) -> Iterator[str]:
    """Yield the table of the crossed bootstrap beside the closed form, on the same students."""
    yield "| metric | rows | seeds | crossed bootstrap | crossed, closed form |"
    yield "|---|---|---|---|---|"
    for metric in METRICS:
        for rows, seeds in ((277, 3), (277, 10), (872, 5)):
            world, rng = World(metric, seed_sd=0.04), np.random.default_rng(0)
            found: list[list[tuple[float, float]]] = [[], []]
            for _ in range(repeats):
                students = world.draw(rng, seeds, rows)
                found[0].append(pigeonhole(*students, metric, 300, rng))
                found[1].append(paired_interval(*students, metric)[1:3])
            told = [_told(intervals, world.truth()) for intervals in found]
            yield f"| {metric} | {rows:,} | {seeds} | {' | '.join(told)} |"


def verdicts(repeats: int) -> Iterator[str]:
    """Yield the table of verdicts on fields of eight strategies over eight tasks of GLUE's sizes, rows drawn anew.

    True gains spread over tasks around their mean, which is the same in all fields: what is on average nothing there
    helps on some tasks and harms on others.
    """
    yield (
        "| seeds | seed sd | true gain, spread over tasks | fields with a verdict: test alone | these tasks "
        "| tasks like these | strategies: these tasks | tasks like these | intervals that hold the gain: these tasks "
        "| tasks like these |"
    )
    yield "|---" * 10 + "|"
    for seeds, seed_sd, gain, spread in WORLDS:
        rng = np.random.default_rng(1)
        alone, told, held = [], [[], []], [[], []]
        for _ in range(repeats):
            fields = [gains_on_tasks(rng, seeds, gain, spread, seed_sd) for _ in range(8)]
            tests = sign_flips([[cell for _, cells in tasks for cell in cells] for tasks in fields])
            alone.append(holm(tests) <= 0.05)
            for way, which, keys in ((0, average, ("gain", "se", "df")), (1, meta_analysis, ("gain", "se"))):
                whole = [which(*([getattr(one, key) for one, _ in tasks] for key in keys)) for tasks in fields]
                told[way].append(holm(np.fmax(tests, [one.p for one in whole])) <= 0.05)
                held[way] += [one.low <= gain <= one.high for one in whole]
        any_of, share = [np.mean(np.any(way, axis=1)) for way in (alone, *told)], [np.mean(way) for way in told]
        cells = [f"{value:.0%}" for value in (*any_of, *share)] + [f"{np.mean(way):.1%}" for way in held]
        yield f"| {seeds} | {100 * seed_sd:.1f} | {100 * gain:+.1f}, {100 * spread:.1f} | {' | '.join(cells)} |"


WORLDS = (
    *((3, 0.006, 0.0, 0.0), (3, 0.006, 0.01, 0.0), (5, 0.006, 0.0, 0.0), (5, 0.006, 0.0, 0.005)),
    *((5, 0.006, 0.01, 0.0), (5, 0.006, 0.01, 0.005)),
    # As on the embedded suite: seeds differ by points, and strategies do much on some tasks and nothing on others.
    *((3, 0.05, 0.0, 0.0), (5, 0.05, 0.0, 0.0), (5, 0.05, 0.0, 0.05), (5, 0.05, 0.04, 0.05)),
)
"""Seeds, the standard deviation of a seed's shift, the mean of the true gains and their spread over tasks."""


def gains_on_tasks(
    rng: np.random.Generator, seeds: int, gain: float, spread: float, seed_sd: float
) -> list[tuple[Interval, list[float]]]:
    """Return (interval, gain by seed) of eight tasks: 12 % of rows discordant, half of it the row's."""
    sizes = (277, 408, 872, 1043, 1500, 5463, 9815, 9815)
    true = rng.normal(0, spread, len(sizes))
    found = []
    for rows, of_task in zip(sizes, gain + true - true.mean(), strict=True):
        few = 40  # rows that stand for so many: their mean has the same variance
        scale = (0.06 * few / rows) ** 0.5
        of_seeds = of_task + rng.normal(0, seed_sd * 2**0.5, (seeds, 1))
        differences = of_seeds + rng.normal(0, scale, few) + rng.normal(0, scale, (seeds, few))
        found.append((crossed_interval(differences), list(differences.mean(axis=1))))
    return found


PARTS = {"coverage": coverage, "bootstrap": bootstrap, "verdicts": verdicts}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    for name, part in PARTS.items():
        if options.only in (None, name):
            for line in part(options.repeats):
                print(line, flush=True)
            print()


if __name__ == "__main__":
    main()
