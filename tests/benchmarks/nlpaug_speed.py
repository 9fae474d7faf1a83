"""How fast the suite rewrites SST-2 sentences with nlpaug's augmenters, and how fast the library does.

Both sides run in one fresh process of one thread, one after the other, and are told in sentences per second of
processor time, so that what else the machine does matters little. The library's side is a loop over
``augment(sentence)`` with its own tokenizer; ``mlm-words`` is held against the library's contextual augmenter with the
same masked LM. What it takes to start (imports, corpora, the model) is left out. Type:
python tests/benchmarks/nlpaug_speed.py --data-dir GLUE [--generator FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from beside import in_a_fresh_process, sentences

# How often each sentence is rewritten, so that there is something to measure.
COPIES = {
    **dict.fromkeys(("keyboard", "ocr", "random-char", "split", "random-word", "spelling"), 20),
    **dict.fromkeys(("tf-idf", "synonym", "antonym"), 5),
    **dict.fromkeys(("contextual", "mlm-words", "mlm-words[mask_rate=0]"), 1),
}


def library(name: str, texts: list[str], generator: str) -> Any:
    """Return the library's augmenter that does what the strategy ``name`` does."""
    from nlpaug.augmenter.word import ContextualWordEmbsAug
    from nlpaug.model.word_stats import TfIdf
    from nlpaug.util.text.tokenizer import Tokenizer

    from strategies.nlpaug.family import FAMILY

    if name not in FAMILY.members() or name == "contextual":
        return ContextualWordEmbsAug(model_path=generator, model_type="bert")
    cls = FAMILY.load(name)().library_class()
    if name != "tf-idf":
        return cls()
    statistics = TfIdf()
    statistics.train([Tokenizer.tokenizer(text) for text in texts])
    with tempfile.TemporaryDirectory() as folder:
        statistics.save(folder)
        return cls(model_path=folder)


def measure(name: str, texts: list[str], generator: str) -> dict[str, float]:
    """Return the processor seconds per sentence of the library and of the suite."""
    from bench.data.tasks import GLUE
    from bench.rewriter import Context
    from bench.spec import StrategySpec

    prefix = "" if name.startswith("mlm-words") else "nlpaug:"
    strategy: Any = StrategySpec.parse(f"{prefix}{name}").create()
    context = Context(GLUE["sst2"], {"generator": generator}, texts=[(text,) for text in texts])
    augmenter = library(name, texts, generator)
    copies = texts * COPIES[name]

    def loop(some: list[str]) -> None:
        for text in some:
            augmenter.augment(text)

    def suite(some: list[str]) -> None:
        strategy.rewrite_texts(some, [random.Random(seed) for seed in range(len(some))], context)

    seconds = {}
    for side, rewrite in (("library", loop), ("suite", suite)):
        random.seed(0)
        rewrite(texts[:1])
        begun = time.process_time()
        rewrite(copies)
        seconds[side] = (time.process_time() - begun) / len(copies)
    return seconds


def main() -> None:
    """Print one line per augmenter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="folder of GLUE files")
    parser.add_argument("--generator", default="", help="folder of a BERT masked LM, for contextual and mlm-words")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--names", nargs="*", default=list(COPIES))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print("\n" + json.dumps(measure(asked.one, json.load(sys.stdin), asked.generator)))
        return
    if asked.data_dir is None:
        parser.error("--data-dir is missing: the folder that holds SST-2/")
    texts = [example.texts[0] for example in sentences(asked.data_dir, asked.rows)[1]]
    print(
        f"{len(texts)} SST-2 sentences, sentences per processor second\n{'':24}{'library':>10}{'suite':>10}{'ratio':>8}"
    )
    for name in asked.names:
        if not asked.generator and name.startswith(("contextual", "mlm-words")):
            print(f"{name:24}skipped: no --generator FOLDER")
            continue
        seconds = in_a_fresh_process(__file__, "--one", name, "--generator", asked.generator, texts=texts)
        ours, theirs = seconds["suite"], seconds["library"]
        print(f"{name:24}{1 / theirs:10.1f}{1 / ours:10.1f}{theirs / ours:7.2f}x", flush=True)


if __name__ == "__main__":
    main()
