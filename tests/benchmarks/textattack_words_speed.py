"""How fast TextAttack's transformations ask a masked LM for words: as in the library, and as the suite has them asked.

Both sides run in one process of one thread, on the same model, and must offer the same texts, which is checked. The
suite pads texts to the longest of a batch, where the library pads to what the model reads at most, and leaves out
scores that the library computes and does not use. Sentences with a word of more than three pieces are left out: the
library needs minutes for one. Type:
python tests/benchmarks/textattack_words_speed.py --data-dir GLUE --generator FOLDER
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from beside import sentences

# What recipes ask for: BAE, BERT-Attack and CLARE.
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "bae": ("WordSwapMaskedLM", {"method": "bae", "max_candidates": 50, "min_confidence": 0.0}),
    "bert-attack": ("WordSwapMaskedLM", {"method": "bert-attack", "max_candidates": 8}),
    "insertion": ("WordInsertionMaskedLM", {"max_candidates": 50, "min_confidence": 5e-4}),
}


def main() -> None:
    """Print a line a transformation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of GLUE files")
    parser.add_argument("--generator", required=True, help="folder of a masked LM")
    parser.add_argument("--rows", type=int, default=3)
    asked = parser.parse_args()

    from strategies.textattack.library import textattack  # before the rest, which import it the usual way
    from strategies.textattack.masked_words import generator  # isort: skip
    from strategies.textattack.requirements import Model  # isort: skip
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(asked.generator)
    model = AutoModelForMaskedLM.from_pretrained(asked.generator)
    ours = generator(Model(asked.generator, ""), "cpu")
    read = [example.texts[0] for example in sentences(asked.data_dir, 2000)[1]]
    short = [
        text
        for text in read
        if len(text.split()) > 5
        and max(len(tokenizer.encode(word, add_special_tokens=False)) for word in text.split()) <= 3
    ][: asked.rows]
    print(
        f"{len(short)} SST-2 sentences, processor seconds\n{'':14}{'library':>10}{'suite':>10}{'ratio':>8}   same texts"
    )
    for name, (cls, options) in CALLS.items():
        theirs = getattr(textattack.transformations, cls)(
            masked_language_model=model, tokenizer=tokenizer, max_length=ours.longest, **options
        )
        seconds, same = [0.0, 0.0], 0
        for text in short:
            start, made = textattack.shared.AttackedText(text), []
            for side, transformation in enumerate((theirs, ours.parts()[cls](**options))):
                begun = time.process_time()
                made.append([offered.text for offered in transformation(start)])
                seconds[side] += time.process_time() - begun
            same += made[0] == made[1]
        print(
            f"{name:14}{seconds[0]:10.2f}{seconds[1]:10.2f}{seconds[0] / seconds[1]:7.1f}x   {same} of {len(short)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
