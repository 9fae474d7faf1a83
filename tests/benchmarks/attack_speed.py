"""How fast `bench attack` attacks a kept student, and how fast TextAttack's own Attacker does, with the same outcomes.

Both attack the same rows of dev with the same seeds and budget, each side in fresh processes. Outcomes are compared
row by row: success or not, the text, and the number of queries. Where two candidates are the same word pieces to the
student, the library's choice hangs on how numbers are rounded in its batches: such rows may differ. Seconds are shown
with and without starting processes, importing libraries and loading models. Run it on a machine that does nothing else:
python tests/benchmarks/attack_speed.py --student results/runs/minilm/sst2/none/seed-0-…/student --data-dir GLUE
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from beside import in_a_fresh_process

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "strategies"))


def rows_of(asked: argparse.Namespace) -> tuple[Any, list[Any]]:
    """The task and the rows of its dev that are attacked: those of `bench attack`."""
    import numpy as np

    from bench.data.sources import open_source

    data = open_source("mini" if asked.data_dir is None else "folder", asked.data_dir).load(asked.task)
    dev = data.splits["dev"]
    return data.task, [dev[row] for row in np.sort(np.random.default_rng(0).permutation(len(dev))[: asked.rows])]


def context_of(task: Any, asked: argparse.Namespace) -> Any:
    """What both sides attack with."""
    from bench.rewriter import Context

    models: Any = {"student": asked.student} | ({"generator": asked.generator} if asked.generator else {})
    return Context(task, models, {role: role for role in models})


def library(asked: argparse.Namespace) -> dict[str, Any]:
    """What the library's Attacker makes of the rows; its functions are as they come."""
    import strategies.textattack.speed

    strategies.textattack.speed.keep_answers = lambda: None
    from library_attacker import attacked_by_the_library

    from bench.spec import StrategySpec
    from strategies.textattack.build import Local

    given = json.load(sys.stdin)
    task, _ = rows_of(asked)
    strategy: Any = StrategySpec.parse(f"textattack:{asked.recipes[0]}").create()
    local = Local.of(strategy, context_of(task, asked))

    def attack(rows: list[Any], seeds: list[int]) -> list[Any]:
        return attacked_by_the_library(strategy, asked.student, local, list(task.texts), rows, seeds, asked.budget)

    start = time.perf_counter()
    attack(given["rows"][:1], given["seeds"][:1])  # loads what it needs
    loaded = time.perf_counter() - start
    start = time.perf_counter()
    made = attack(given["rows"], given["seeds"])
    return {"made": made, "seconds": time.perf_counter() - start, "loading": loaded}


def main() -> None:
    """Print a line a recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", required=True, help="folder of a kept student")
    parser.add_argument("--data-dir", type=Path, help="folder of GLUE files; without: the embedded mini tasks")
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--budget", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--generator", help="folder of a masked language model, for recipes that ask one")
    parser.add_argument("--recipes", nargs="*", default=["deepwordbug", "pwws"])
    parser.add_argument("--side", choices=("library",), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print("\n" + json.dumps(library(asked)))
        return

    import random

    from bench.experiment.attacking import _CHUNK_SECONDS, _ROW_SECONDS
    from bench.experiment.recipes import recipes_of
    from bench.rewriting.engine import rewrite_all

    task, examples = rows_of(asked)
    rows = [[list(row.texts), row.label] for row in examples]
    # What the suite seeds the library with.
    seeds = [random.Random(json.dumps([0, 0, *row.texts])).getrandbits(32) for row in examples]
    print(f"{len(rows)} rows of {task.name}, at most {asked.budget} queries each; TextAttack's Attacker, one process,")
    print(
        f"beside bench attack with {asked.workers} workers: seconds of attacking, and with starting, importing, loading"
    )
    print(f"{'':24}{'Attacker':>10}{'suite':>8}{'ratio':>8}{'in all':>14}{'suite':>8}{'ratio':>8}   same outcomes")
    options = ["--student", asked.student, "--task", asked.task, "--rows", str(asked.rows)]
    options += ["--budget", str(asked.budget), "--side", "library"]
    options += ["--data-dir", str(asked.data_dir)] if asked.data_dir else []
    options += ["--generator", asked.generator] if asked.generator else []
    for recipe in recipes_of(asked.recipes, asked.budget):
        start = time.perf_counter()
        theirs = in_a_fresh_process(__file__, *options, "--recipes", recipe.title, texts={"rows": rows, "seeds": seeds})
        # One row is attacked twice, to tell loading from attacking.
        theirs_in_all = time.perf_counter() - start - min(theirs["loading"], theirs["seconds"] / len(rows))
        ours = rewrite_all(
            recipe.rewriter,
            examples,
            context_of(task, asked),
            workers=asked.workers,
            row_seconds=_ROW_SECONDS,
            chunk_seconds=_CHUNK_SECONDS,
        )
        made = [[row.outcome, list(row.forms[0]), row.queries] for row in ours.rows]
        same = sum(a == b for a, b in zip(theirs["made"], made, strict=True))
        seconds = ours.work_seconds / asked.workers
        print(
            f"{recipe.title:24}{theirs['seconds']:10.1f}{seconds:8.1f}{theirs['seconds'] / seconds:7.1f}x"
            f"{theirs_in_all:14.1f}{ours.seconds:8.1f}{theirs_in_all / ours.seconds:7.1f}x   {same} of {len(rows)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
