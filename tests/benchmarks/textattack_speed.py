"""How fast the suite rewrites SST-2 sentences with TextAttack's augmenters, and how fast the library's own loop does.

Both sides are given the same seeds and must make the same texts, which is checked. Every number is of a fresh process,
which has yet to read WordNet. Last stands what the suite's call took in all, and what it took again, from the cache.
Run it on a machine that does nothing else:
python tests/benchmarks/textattack_speed.py --data-dir GLUE
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from beside import in_a_fresh_process, sentences

NAMES = ("wordnet", "eda", "charswap", "deletion", "swap", "synonym-insertion")


def library(name: str) -> Callable[[list[str]], list[str]]:
    """Return the library's own loop."""
    import nltk

    nltk.download = lambda *args, **kwargs: False  # else every construction waits for the network
    import numpy as np

    from strategies.textattack.family import FAMILY

    module, _, cls = FAMILY.load(name).target.partition(":")
    augmenter = getattr(importlib.import_module(module), cls)(transformations_per_example=1)

    def loop(texts: list[str]) -> list[str]:
        made = []
        for text in texts:
            # What the suite seeds the library with for the only copy of a row of one text.
            row = random.Random(json.dumps([0, 0, text]))
            seed = random.Random(row.getrandbits(64)).getrandbits(32)
            random.seed(seed)
            np.random.seed(seed)
            made += augmenter.augment(text)[:1]
        return made

    return loop


def suite(name: str) -> Callable[[list[str]], list[str]]:
    """Return what a worker process of the suite does."""
    from bench.data.tasks import GLUE, Example
    from bench.rewriter import Context
    from bench.spec import StrategySpec

    strategy = StrategySpec.parse(f"textattack:{name}").create()
    context = Context(GLUE["sst2"])
    strategy.rewrite([Example(0, ("first",), 0)], [random.Random(0)], context)

    def loop(texts: list[str]) -> list[str]:
        rows = [Example(number, (text,), 0) for number, text in enumerate(texts)]
        rngs = [random.Random(json.dumps([0, 0, text])) for text in texts]
        return [forms[0][0] for forms in strategy.rewrite(rows, rngs, context)]

    return loop


def main() -> None:
    """Print a line an augmenter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of GLUE files")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--names", nargs="*", default=list(NAMES), choices=NAMES)
    parser.add_argument("--side", choices=("library", "suite"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        begun = time.perf_counter()
        loop = {"library": library, "suite": suite}[asked.side](asked.names[0])
        start, cpu = time.perf_counter(), time.process_time()
        made = loop(json.load(sys.stdin))
        told = {"made": made, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        print("\n" + json.dumps({**told, "start": start - begun}))
        return
    if asked.data_dir is None:
        parser.error("--data-dir is missing: the folder that holds SST-2/")

    from bench.rewriter import Context
    from bench.rewriting.engine import rewrite_all
    from bench.spec import StrategySpec

    task, examples = sentences(asked.data_dir, asked.rows)
    texts, count = [example.texts[0] for example in examples], len(examples)
    print(f"{count} SST-2 sentences, a second: the library's loop, {asked.workers} workers; one process by CPU time;")
    print("then seconds of the suite's call in all, and from the cache")
    sides = f"{'library':>8}{'workers':>9}{'ratio':>7}   {'start-up':12}{'library':>8}{'suite':>8}{'ratio':>7}"
    print(f"{'':18}{sides}   {'first, again':>17}{'ratio':>7}   same output")
    for name in asked.names:
        strategy = StrategySpec.parse(f"textattack:{name}").create()
        theirs, one = (
            in_a_fresh_process(__file__, "--side", side, "--names", name, texts=texts) for side in ("library", "suite")
        )
        with tempfile.TemporaryDirectory() as folder:
            ours, again = (
                rewrite_all(strategy, examples, Context(task), workers=asked.workers, cache=Path(folder))
                for _ in range(2)
            )
        # Without starting processes and importing the library.
        seconds = ours.work_seconds / asked.workers
        same = sum(a == b == form[0][0] for a, b, form in zip(theirs["made"], one["made"], ours.forms, strict=True))
        start_up = f"{theirs['start']:.0f} / {ours.seconds - seconds:.0f} s"
        print(
            f"{name:18}{count / theirs['seconds']:8.0f}{count / seconds:9.0f}{theirs['seconds'] / seconds:6.1f}x   "
            f"{start_up:12}{count / theirs['cpu']:8.0f}{count / one['cpu']:8.0f}{theirs['cpu'] / one['cpu']:6.1f}x"
            f"   {ours.seconds:6.1f} s, {again.seconds:.3f} s{ours.seconds / again.seconds:6.0f}x"
            f"   {same} of {count}",
            flush=True,
        )


if __name__ == "__main__":
    main()
