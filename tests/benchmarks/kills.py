"""What kills cost: python tests/benchmarks/kills.py [KILLS] [SEED] [STRATEGY ...].

Runs strategies of every kind on a task of a few hundred rows with tiny models, and kills them at random moments by
SIGKILL, whatever they are at: loading, generator, teacher, rewriting, student, adversary, evaluation, writing a
checkpoint or the record. It makes so many kills (200 by default) and compares everything that the runs leave with
what undisturbed ones left.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["OMP_NUM_THREADS"] = "1"  # threads of numerical libraries do not survive forks

from kills import attempt, differing, killed, outcome

import bench.experiment.launch  # noqa: F401 - imported once here and not by every process

KINDS = (
    "none",
    "mlm",
    "mate-kd[generator_steps=2,student_steps=3]",
    "cilda[generator_steps=2,student_steps=3]",
    "freelb",
    "smart",
    "ad2",
    "r-drop",
    "mixkd",
    "eda",
    "best-of-k(eda)[k=2,candidates=3]",
    "nlpaug:keyboard",
    "textattack:charswap",
    "textattack:deepwordbug",
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


TASK = """
name = "kills"
texts = ["text"]
label = "label"
labels = ["without", "with"]
[files]
train = "train.tsv"
dev = "dev.tsv"
"""


def make_task(folder: Path) -> Path:
    """Write a task of a few hundred rows: whether a word is in a text."""
    rng, words = (
        random.Random(0),
        ["fine", "dull", "film", "plot", "cast", "scene", "actor", "story", "light", "sound", "music", "ending"],
    )
    for split, count in (("train", 320), ("dev", 60)):
        texts = [" ".join(rng.choices(words, k=rng.randint(4, 12))) for _ in range(count)]
        rows = [f"{text}\t{'with' if 'fine' in text.split() else 'without'}" for text in texts]
        (folder / f"{split}.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    (folder / "kills.toml").write_text(TASK)
    return folder / "kills.toml"


def command(strategy: str, task: Path, results: Path) -> list[str]:
    """Return the command line of a tiny run."""
    settings = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    run = ["run", "--strategy", strategy, "--tasks", str(task), "--weak-teacher", "--workers", "1"]
    return [*run, *settings, "--results", str(results)]


def phase(results: Path) -> str:
    """Return how far the run of ``results`` had come when it was killed, by what it had written."""
    places = {
        "after the record was begun": "runs/*/*/*/*/.record.json.*/record.json",
        "after the record": "runs/*/*/*/*/record.json",
        "in the student's training": "runs/*/*/*/*/checkpoint/states/*/*",
        "before it": "cache/teachers/*/SHA256SUMS",
    }
    return next((place for place, files in places.items() if any(results.glob(files))), "before the teacher was there")


def main(kills: int = 200, seed: int = 0, *strategies: str) -> int:
    """Make so many kills and print what came of them; return how many figures differ."""
    strategies = strategies or KINDS
    rng, made, differences, runs = random.Random(seed), Counter[str](), 0, 0
    phases, went_on = Counter[str](), 0
    with tempfile.TemporaryDirectory() as home:
        undisturbed, seconds, task = {}, {}, make_task(Path(home))
        for number, strategy in enumerate(strategies):
            results, start = Path(home, f"peace-{number}"), time.monotonic()
            code = attempt(command(strategy, task, results), results.with_suffix(".log"), 600.0)
            assert code == 0, results.with_suffix(".log").read_text()
            seconds[strategy], undisturbed[strategy] = time.monotonic() - start, outcome(results)
        while sum(made.values()) < kills:
            strategy = strategies[runs % len(strategies)]
            results = Path(home, f"killed-{runs}")
            wanted = min(rng.randint(1, _AT_ONCE), kills - sum(made.values()))
            for _ in killed(command(strategy, task, results), results, rng, wanted, seconds[strategy]):
                made[strategy] += 1
                phases[phase(results)] += 1
            found = differing(undisturbed[strategy], outcome(results))
            (record,) = results.rglob("record.json")
            went_on += json.loads(record.read_text())["resumed"] > 0
            for line in found:
                print(f"{strategy}: {line}")
            differences += len(found)
            runs += 1
    for strategy, count in made.items():
        print(f"{strategy:50} {count:4} kills, {seconds[strategy]:5.1f} s undisturbed")
    print(", ".join(f"{count} {place}" for place, count in phases.most_common()))
    print(f"{went_on} runs went on from a checkpoint of the student")
    print(f"{sum(made.values())} kills in {runs} runs, {runs} ended, {differences} differing figures")
    return differences


if __name__ == "__main__":
    sys.exit(min(1, main(*map(int, sys.argv[1:3]), *sys.argv[3:])))
