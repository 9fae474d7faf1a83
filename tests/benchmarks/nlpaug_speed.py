"""How fast the suite rewrites SST-2 sentences with nlpaug's augmenters, and how fast the library's own loop does.

The library's side is a loop over ``augment(sentence)`` in one process, with its own tokenizer. Both sides are told
without what it takes to start: imports and, for the masked LM, reading the model. The second ratio is of processor
time, the suite's divided by its workers: on a machine busy with other things it says more than the first. Last stands
what rewriting each sentence once takes the suite in all, and what it takes again, from the cache. Type:
python tests/benchmarks/nlpaug_speed.py --data-dir GLUE [--generator FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from beside import in_a_fresh_process, sentences

# How often each sentence is rewritten, so that there is something to measure.
COPIES = {
    **dict.fromkeys(("keyboard", "ocr", "random-char", "split", "random-word", "spelling"), 100),
    **dict.fromkeys(("tf-idf", "synonym", "antonym"), 20),
    "contextual": 1,
    "contextual[mask_rate=0]": 1,
}


def library(texts: list[str], names: list[str], generator: str) -> dict:
    """Return the seconds of the library's own loop for each of ``names``, and those of its start."""
    from nlpaug.model.word_stats import TfIdf
    from nlpaug.util.text.tokenizer import Tokenizer

    from strategies.nlpaug.family import FAMILY

    told: dict = {}
    for name in names:
        start = time.perf_counter()
        options: dict = {}
        if name.startswith("contextual"):
            import torch

            torch.set_num_threads(1)
            options = {"model_path": generator, "model_type": "bert"}
        with tempfile.TemporaryDirectory() as folder:
            if name == "tf-idf":
                statistics = TfIdf()
                statistics.train([Tokenizer.tokenizer(text) for text in texts])
                statistics.save(folder)
                options = {"model_path": folder}
            augmenter = FAMILY.load(name.partition("[")[0])().library_class()(**options)
        random.seed(0)
        augmenter.augment(texts[0])
        begun, cpu = time.perf_counter(), time.process_time()
        for _ in range(COPIES[name]):
            for text in texts:
                augmenter.augment(text)
        told[name] = {"start": begun - start, "seconds": time.perf_counter() - begun}
        told[name]["cpu"] = time.process_time() - cpu
    return told


def main() -> None:
    """Print a line an augmenter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="folder of GLUE files")
    parser.add_argument("--generator", default="", help="folder of a BERT masked LM, for contextual")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--names", nargs="*", default=list(COPIES))
    parser.add_argument("--library", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.library:
        print("\n" + json.dumps(library(json.load(sys.stdin), asked.names, asked.generator)))
        return
    if asked.data_dir is None:
        parser.error("--data-dir is missing: the folder that holds SST-2/")

    from bench.rewriting.engine import rewrite_all
    from bench.spec import StrategySpec, lacking
    from bench.strategy import Context

    task, examples = sentences(asked.data_dir, asked.rows)
    texts = [example.texts[0] for example in examples]
    context = Context(task, models={"generator": asked.generator}, texts=[example.texts for example in examples])
    print(f"{len(texts)} SST-2 sentences, {asked.workers} workers")
    print(f"{'':24}{'library':>14}{'suite':>14}{'ratio':>8}{'CPU':>7}   start-up      once, and again, all in all")
    for name in asked.names:
        member, _, options = name.rstrip("]").partition("[")
        strategy = StrategySpec.parse(f"nlpaug:{member}[copies={COPIES[name]},{options}]").create()
        without = lacking(strategy) or ("" if asked.generator or not strategy.reads() else "no --generator FOLDER")
        if without:
            print(f"{name:24}skipped: {without}")
            continue
        asks = ("--library", "--names", name, "--generator", asked.generator)
        theirs = in_a_fresh_process(__file__, *asks, texts=texts)[name]
        first, used = time.perf_counter(), _used()
        rewrite_all(strategy, examples[: asked.workers], context, workers=asked.workers)
        start_up, start_cpu = time.perf_counter() - first, _used() - used
        ours = rewrite_all(strategy, examples, context, workers=asked.workers)
        cpu = (_used() - used - 2 * start_cpu) / asked.workers
        strategy = StrategySpec.parse(f"nlpaug:{name}").create()
        with tempfile.TemporaryDirectory() as folder:
            once, again = (
                rewrite_all(strategy, examples, context, workers=asked.workers, cache=Path(folder)).seconds
                for _ in range(2)
            )
        if ours.failed:
            sys.exit(f"{name}: {len(ours.failed)} rows failed: {ours.failed}")
        seconds = ours.seconds - start_up
        if seconds <= 0:
            print(f"{name:24}not measured: starting took {start_up:.1f} s, all with it {ours.seconds:.1f} s")
            continue
        made = len(texts) * COPIES[name]
        print(
            f"{name:24}{made / theirs['seconds']:12.1f}/s{made / seconds:12.1f}/s{theirs['seconds'] / seconds:7.1f}x"
            f"{theirs['cpu'] / cpu:6.1f}x"
            f"   {theirs['start']:.0f} s, {start_up:.0f} s"
            f"{once:8.1f} s, {again:.3f} s{once / again:6.0f}x",
            flush=True,
        )


def _used() -> float:
    """Return the processor seconds of all processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
