"""The process that imports TextAttack for test_textattack.py: answers calls, a line of JSON each, until there are none.

A call is [function below, its arguments …]; the answer is [True, what it returns] or [False, the traceback].
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import random
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

from bench.data.tasks import GLUE, Example
from bench.rewriter import Attacked, Context
from bench.spec import StrategySpec
from strategies.catalogues import Catalogue
from strategies.textattack import speed
from strategies.textattack.family import FAMILY

FOLDER = Path(sys.argv[1])
SENTENCES: list[str] = json.loads(sys.argv[2])
CHANGED = {"pct_words_to_swap": 0.3}


def catalogue() -> str:
    from strategies.textattack.catalogue import entries

    return Catalogue.text("textattack", entries())


def augmented_by_the_library(name: str, texts: list[str]) -> list[str]:
    """What the library's own class makes of ``texts`` before anything of the library is replaced."""
    module, _, cls = FAMILY.load(name).target.partition(":")
    return _augmented(getattr(importlib.import_module(module), cls)(transformations_per_example=1, **CHANGED), texts)


def augmented_by_us(name: str, texts: list[str]) -> list[str]:
    from strategies.textattack.build import Local, augmenter

    local = Local(None, "none", None, "cpu")
    return _augmented(augmenter(FAMILY.load(name).target, tuple(CHANGED.items()), local), texts)


def _augmented(augmenter: Any, texts: list[str]) -> list[str]:
    from strategies.textattack.library import seed

    made = []
    for number, text in enumerate(texts):
        seed(number)
        made.append(augmenter.augment(text)[0])
    return made


def remember(version: str | None = None) -> bool:
    """Let the library's functions keep their answers, as if ``version`` were installed; True if they now do."""
    from textattack.shared import attacked_text

    if version is not None:
        speed.version = {"textattack": version}.__getitem__
    KEEP_ANSWERS()
    return attacked_text.words_from_text.__module__ == speed.__name__


def words_offered(method: str, text: str) -> list[list[str]]:
    """The candidates of the library's swap by a masked LM, padded as the library does it, and of ours."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from strategies.textattack.library import textattack
    from strategies.textattack.masked_words import generator
    from strategies.textattack.requirements import Model

    _models()
    folder = str(FOLDER / "generator")
    theirs = {
        "masked_language_model": AutoModelForMaskedLM.from_pretrained(folder),
        "tokenizer": AutoTokenizer.from_pretrained(folder),
        "max_length": 64,
    }
    insertion = method == "insertion"
    name, options = ("WordInsertionMaskedLM", {}) if insertion else ("WordSwapMaskedLM", {"method": method})
    # The recipe's number: of a word of four pieces the library scores 8 ** 4 combinations.
    library = getattr(textattack.transformations, name)(**theirs, **options, max_candidates=8)
    ours = generator(Model(folder, ""), "cpu").parts()[name](**options, max_candidates=8)
    start = textattack.shared.AttackedText(text)
    return [[made.text for made in transformation(start)] for transformation in (library, ours)]


def probabilities(rows: list[list[str]], role: str = "student") -> list[list[float]]:
    """What the student or the teacher gives each class of each row."""
    import torch

    models, tokenizer = _models()
    with torch.no_grad():
        inputs = [tokenizer(*row, truncation=True, max_length=64, return_tensors="pt") for row in rows]
        return [models[role](**each).logits[0].double().softmax(0).tolist() for each in inputs]


def predicted(rows: list[list[str]], role: str = "student") -> list[int]:
    """The class that the student or the teacher gives each row."""
    return [max(range(3), key=row.__getitem__) for row in probabilities(rows, role)]


def rewritten(spec: str, task: str, rows: list[list[str]], labels: list[int], seeds: list[int]) -> list[Any]:
    """What the strategy makes of each row: of an attack [outcome, texts, queries], else its forms."""
    _models()
    text = spec.replace("FOLDER", str(FOLDER / "encoder")).replace("VECTORS", str(FOLDER / "vectors.txt"))
    (rewriter,) = StrategySpec.parse(text if "(" in text else f"textattack:{text}").create().rewriters()
    examples = [Example(i, tuple(row), label) for i, (row, label) in enumerate(zip(rows, labels, strict=True))]
    roles: Any = {role: str(FOLDER / role) for role in ("student", "teacher", "generator")}
    context = Context(GLUE[task], roles, {role: role for role in roles})
    made = rewriter.rewrite(examples, [random.Random(number) for number in seeds], context)
    return [[row.outcome, row.forms[0], row.queries] if isinstance(row, Attacked) else row for row in made]


def both_attackers(spec: str, task: str, rows: list[Any], budget: int) -> list[Any]:
    """What the library's own Attacker makes of rows, texts and label each, and what the suite's attack does."""
    from library_attacker import attacked_by_the_library, attacked_by_us

    from strategies.textattack.build import Local

    _models()
    text = spec.replace("FOLDER", str(FOLDER / "encoder")).replace("VECTORS", str(FOLDER / "vectors.txt"))
    strategy: Any = StrategySpec.parse(f"textattack:{text}").create()
    roles: Any = {role: str(FOLDER / role) for role in ("student", "generator")}
    context = Context(GLUE[task], roles, {role: role for role in roles})
    local, columns = Local.of(strategy, context), list(GLUE[task].texts)
    seeds = list(range(len(rows)))
    theirs = attacked_by_the_library(strategy, roles["student"], local, columns, rows, seeds, budget)
    return [theirs, attacked_by_us(strategy, context, rows, seeds, budget)]


def vectors_in_the_librarys_format(folder: str) -> list[str]:
    """The neighbours of a word among word vectors in ``folder``."""
    from strategies.textattack.similarity import word_vectors

    vectors = word_vectors(folder)
    return [vectors.index2word(number) for number in vectors.nearest_neighbours(vectors.word2index("good"), 2)]


def state() -> dict[str, Any]:
    """What the import left behind."""
    from textattack.shared.utils import install

    return {
        "disabled": logging.getLogger("somebody").disabled,
        "cache": install.TEXTATTACK_CACHE_DIR,
        "HF_HOME": os.environ.get("HF_HOME"),
        "TA_CACHE_DIR": os.environ.get("TA_CACHE_DIR"),
    }


@cache
def _models() -> tuple[Any, Any]:
    """A tiny student, teacher, generator and sentence encoder, which know the sentences' words, and word vectors."""
    import numpy as np
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, BertTokenizerFast

    words = sorted({word for text in SENTENCES for word in text.lower().split()})
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*words, *letters])]
    vocabulary += [f"##{letter}" for letter in letters if not letter.isupper()]
    core = BertWordPieceTokenizer({word: i for i, word in enumerate(dict.fromkeys(vocabulary))})
    tokenizer = BertTokenizerFast(tokenizer_object=core._tokenizer, model_max_length=64)
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48, "num_hidden_layers": 2}
    config = BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=64, num_labels=3, initializer_range=0.4, **sizes
    )
    models: dict[str, Any] = {
        "student": BertForSequenceClassification(config),
        "generator": BertForMaskedLM(config),
        "encoder": BertModel(config),
    }
    torch.manual_seed(3)  # one whose answers some words change
    models["teacher"] = BertForSequenceClassification(config)
    for role, model in models.items():
        model.eval()
        model.save_pretrained(FOLDER / role)
        tokenizer.save_pretrained(FOLDER / role)
    rng = np.random.default_rng(0)
    with (FOLDER / "vectors.txt").open("w", encoding="utf-8") as file:
        for i, word in enumerate(words):
            # Four words a neighbourhood.
            numbers = np.eye(100)[i // 4] + 0.01 * rng.normal(size=100)
            file.write(f"{word} {' '.join(f'{n:.4f}' for n in numbers)}\n")
    return models, tokenizer


if __name__ == "__main__":
    # What the library prints is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.getLogger("somebody")
    KEEP_ANSWERS, speed.keep_answers = speed.keep_answers, lambda: None
    import strategies.textattack.library  # noqa: F401 - before the rest, which import the library the usual way

    for line in sys.stdin:
        function, *arguments = json.loads(line)
        try:
            answer = [True, globals()[function](*arguments)]
        except Exception:  # noqa: BLE001 - shown by the test that called
            answer = [False, traceback.format_exc()]
        print(json.dumps(answer), file=answers, flush=True)
