"""What kills cost: python tests/benchmarks/kills.py [KILLS] [SEED] [STRATEGY ...].

Runs strategies of every kind on an embedded task with tiny models, kills them at random moments (SIGKILL, in whatever
they are at: loading, generator, teacher, rewriting, student, adversary, evaluation, writing a checkpoint or the record)
until so many kills are made, 200 by default, and compares everything that they leave with what undisturbed runs left.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from kills import attempt, differing, killed, outcome

import bench.experiment.launch  # noqa: F401 - imported once here and not by every process

KINDS = (
    "none",
    "mlm",
    "mate-kd[generator_steps=2,student_steps=3]",
    "freelb",
    "r-drop",
    "mixkd",
    "eda",
    "best-of-k(eda)[k=2,candidates=3]",
    "nlpaug:keyboard",
    "textattack:charswap",
    "eda+mate-kd[generator_steps=2,student_steps=3]",
)
TINY = {
    "data.max_length": 24,
    "generator.tokens": 6000,
    "generator.shape.num_hidden_layers": 1,
    "recipe.checkpoint_seconds": 0.05,
    "recipe.epochs": 3,
    "teacher.epochs": 3,
}
_AT_ONCE = 4
"""Kills of one run at most."""


def command(strategy: str, results: Path) -> list[str]:
    """Return the command line of a tiny run."""
    settings = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    run = ["run", "--strategy", strategy, "--tasks", "rte", "--max-train", "320", "--weak-teacher", "--workers", "1"]
    return [*run, *settings, "--results", str(results)]


def main(kills: int = 200, seed: int = 0, *strategies: str) -> int:
    """Make so many kills and print what came of them; return how many figures differ."""
    strategies = strategies or KINDS
    rng, made, differences, runs = random.Random(seed), Counter[str](), 0, 0
    with tempfile.TemporaryDirectory() as home:
        undisturbed, seconds = {}, {}
        for number, strategy in enumerate(strategies):
            results, start = Path(home, f"peace-{number}"), time.monotonic()
            code = attempt(command(strategy, results), results.with_suffix(".log"), 600.0)
            assert code == 0, results.with_suffix(".log").read_text()
            seconds[strategy], undisturbed[strategy] = time.monotonic() - start, outcome(results)
        while sum(made.values()) < kills:
            strategy = strategies[runs % len(strategies)]
            results = Path(home, f"killed-{runs}")
            wanted = min(rng.randint(1, _AT_ONCE), kills - sum(made.values()))
            made[strategy] += sum(
                1
                for _ in killed(lambda to: command(strategy, to), results, rng, wanted, seconds[strategy])  # noqa: B023
            )
            found = differing(undisturbed[strategy], outcome(results))
            for line in found:
                print(f"{strategy}: {line}")
            differences += len(found)
            runs += 1
    for strategy, count in made.items():
        print(f"{strategy:50} {count:4} kills, {seconds[strategy]:5.1f} s undisturbed")
    print(f"{sum(made.values())} kills in {runs} runs, {runs} ended, {differences} differing figures")
    return differences


if __name__ == "__main__":
    sys.exit(min(1, main(*map(int, sys.argv[1:3]), *sys.argv[3:])))
