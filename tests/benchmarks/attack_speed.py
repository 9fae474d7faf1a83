"""How fast `bench attack` attacks a kept student, and how fast TextAttack's own Attacker does, with the same outcomes.

Both attack the same rows of dev with the same seeds and budget, each side in fresh processes. Outcomes are compared
row by row: success or not, the text, and the number of queries. Where two candidates are the same word pieces to the
student (they differ in case, or behind what it reads of a long text), the library's choice hangs on how numbers are
rounded in its batches: such rows may differ; --show prints them. Run it on a machine that does nothing else:
python tests/benchmarks/attack_speed.py --student results/runs/minilm/sst2/none/seed-0-…/student --data-dir GLUE
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from beside import in_a_fresh_process

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "strategies"))

Attack: TypeAlias = Callable[[list[Any], list[int]], list[Any]]
"""From rows and their seeds to what became of each: outcome, texts, number of queries."""


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


def library(asked: argparse.Namespace, strategy: Any, task: Any) -> Attack:
    """The library's Attacker; its functions are as they come."""
    import strategies.textattack.speed

    strategies.textattack.speed.keep_answers = lambda: None
    from library_attacker import attacked_by_the_library

    from strategies.textattack.build import Local

    local = Local.of(strategy, context_of(task, asked))
    return lambda rows, seeds: attacked_by_the_library(
        strategy, asked.student, local, list(task.texts), rows, seeds, asked.budget
    )


def suite(asked: argparse.Namespace, strategy: Any, task: Any) -> Attack:
    """What a worker process of the suite does."""
    from library_attacker import attacked_by_us

    context = context_of(task, asked)
    return lambda rows, seeds: attacked_by_us(strategy, context, rows, seeds, asked.budget)


def one_side(asked: argparse.Namespace) -> dict[str, Any]:
    """What one side makes of the rows on standard input, the seconds that took, and those of loading before."""
    from bench.spec import StrategySpec

    given = json.load(sys.stdin)
    strategy: Any = StrategySpec.parse(f"textattack:{asked.recipes[0]}").create()
    attack = {"library": library, "suite": suite}[asked.side](asked, strategy, rows_of(asked)[0])
    start = time.perf_counter()
    attack(given["rows"][:1], given["seeds"][:1])  # loads what it needs
    loading = time.perf_counter() - start
    start, cpu = time.perf_counter(), time.process_time()
    made = attack(given["rows"], given["seeds"])
    return {
        "made": made,
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "loading": loading,
    }


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
    parser.add_argument("--show", action="store_true", help="show rows whose outcomes differ")
    parser.add_argument("--side", choices=("library", "suite"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print("\n" + json.dumps(one_side(asked)))
        return

    import random

    from bench.experiment.attacking import _CHUNK_SECONDS, _ROW_SECONDS
    from bench.experiment.recipes import recipes_of
    from bench.rewriting.engine import rewrite_all

    task, examples = rows_of(asked)
    rows = [[list(row.texts), row.label] for row in examples]
    # What the suite seeds the library with.
    seeds = [random.Random(json.dumps([0, 0, *row.texts])).getrandbits(32) for row in examples]
    print(
        f"{len(rows)} rows of {task.name}, at most {asked.budget} queries each: seconds of TextAttack's Attacker, which"
    )
    print(
        f"is one process, and of bench attack with {asked.workers} workers; then with starting, importing and loading;"
    )
    print("then seconds of CPU time of one process each, which a busy machine does not change")
    beside = f"{'suite':>7}{'ratio':>7}"
    print(f"{'':14}{'Attacker':>9}{beside}{'in all':>10}{beside}{'CPU':>9}{beside}   same outcomes")
    options = ["--student", asked.student, "--task", asked.task, "--rows", str(asked.rows)]
    options += ["--budget", str(asked.budget)]
    options += ["--data-dir", str(asked.data_dir)] if asked.data_dir else []
    options += ["--generator", asked.generator] if asked.generator else []
    given = {"rows": rows, "seeds": seeds}
    for recipe in recipes_of(asked.recipes, asked.budget):
        own = [*options, "--recipes", recipe.title, "--side"]
        start = time.perf_counter()
        theirs = in_a_fresh_process(__file__, *own, "library", texts=given)
        # One row is attacked twice, to tell loading from attacking.
        in_all = time.perf_counter() - start - min(theirs["loading"], theirs["seconds"] / len(rows))
        one = in_a_fresh_process(__file__, *own, "suite", texts=given)
        ours = rewrite_all(
            recipe.rewriter,
            examples,
            context_of(task, asked),
            workers=asked.workers,
            row_seconds=_ROW_SECONDS,
            chunk_seconds=_CHUNK_SECONDS,
        )
        made = [[row.outcome, list(row.forms[0]), row.queries] for row in ours.rows]
        three = list(zip(theirs["made"], one["made"], made, strict=True))
        same = sum(a == b == c for a, b, c in three)
        seconds = ours.work_seconds / asked.workers
        print(
            f"{recipe.title:14}{theirs['seconds']:9.1f}{seconds:7.1f}{theirs['seconds'] / seconds:6.1f}x"
            f"{in_all:10.1f}{ours.seconds:7.1f}{in_all / ours.seconds:6.1f}x"
            f"{theirs['cpu']:9.1f}{one['cpu']:7.1f}{theirs['cpu'] / one['cpu']:6.1f}x   {same} of {len(rows)}",
            flush=True,
        )
        for number, (a, b, c) in enumerate(three):
            if not a == b == c and asked.show:
                print(f"row {number}: {rows[number]}\n  Attacker {a}\n  one process {b}\n  workers {c}")


if __name__ == "__main__":
    main()
