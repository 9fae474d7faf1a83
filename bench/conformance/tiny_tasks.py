"""Tiny tasks, odd rows and small random models: what a strategy is checked on, in seconds and without downloads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from bench.data.encode import Encoded, encode
from bench.data.tasks import GLUE, Example, Task
from bench.evaluation.predict import predict
from bench.models.inputs import Role
from bench.models.load import build_scratch
from bench.models.tokenizer import word_tokenizer
from bench.rewriter import Context, Corpus, Rewriter
from bench.rewriting.context import context_for, saved
from bench.strategy import Models

SENTENCE = replace(GLUE["sst2"], name="made-sentence", title="made sentences")
PAIR = replace(GLUE["mnli"], name="made-pair", title="made pairs")
SCORE = replace(GLUE["stsb"], name="made-score", title="made scores")
TASKS = (SENTENCE, PAIR, SCORE)

_ORDINARY = (
    "The film was good, and the actors were better than I had expected.",
    "A man is playing a guitar on a small stage in front of many people.",
    "She didn't buy the old house because it was too expensive for her family.",
    "Three dogs run quickly across the green park near the river.",
)
_COMMON = "Yesterday the quick brown fox jumped over a lazy dog, while my good friend was reading an interesting book."

ODD = {
    "an empty text": "",
    "one word": "good",
    "punctuation alone": "?! ... --",
    "emoji and Chinese": "😀 好 🎬 film 很好看 👍🏽",
    "right-to-left text": "هذا فيلم جيد שלום world",
    "tabs and newlines": " a\tgood\n\nfilm \r\n with\u00a0spaces  ",
    "a word of 600 letters": "goodness" * 75 + " is one word",
    "a text of 5,000 words": " ".join([_COMMON] * 264),
}
"""Texts such as real data sets hold now and then, by what is odd about them."""


ENDLESS = "a text of 5,000 words"

_BANK = [f"{who} {did}." for who in ("The dog", "A good film", "My friend") for did in ("ran", "sang", "fell")]


def examples(task: Task) -> list[Example]:
    """Return rows of ``task``: four ordinary ones and one for each text of ``ODD``, the endless one in pairs only.

    It may take a strategy seconds, and one task shows what becomes of it.
    """
    texts = [*_ORDINARY, *(text for name, text in ODD.items() if name != ENDLESS or task.directed)]
    rows = []
    for number, text in enumerate(texts):
        beside = _ORDINARY[(number + 1) % 4]
        # Of a directed pair mostly the second text is rewritten; elsewhere each side gets its share of odd ones.
        pair = (text, beside) if number % 2 and not task.directed else (beside, text)
        label = number * 5 / len(texts) if task.is_regression else number % task.n_outputs
        rows.append(Example(100 + number, pair if len(task.texts) == 2 else (text,), label))
    return rows


class TinyTask:
    """One tiny task with its rows and models; ``folder`` is where models are saved for ``Context``.

    ``short`` are the rows but the one with the endless text, for what is done many times. ``before`` is what the rows
    were before any strategy saw them.
    """

    def __init__(self, task: Task, folder: Path) -> None:
        self.task, self.folder = task, folder
        self.examples = examples(task)
        self.short = [row for row in self.examples if ODD[ENDLESS] not in row.texts]
        self.before = [(row.id, row.texts, row.label) for row in self.examples]
        texts = (text for one in TASKS for row in examples(one) for text in row.texts)
        self.tokenizer = word_tokenizer(texts, folder / "tokenizers")
        self.accelerator = Accelerator(cpu=True)

    def encode(self, rows: Sequence[Example]) -> Encoded:
        """Return ``rows``, tokenised."""
        return encode(rows, self.tokenizer, 32, is_regression=self.task.is_regression)

    def teacher_logits(self, rows: Encoded) -> np.ndarray:
        """Return the teacher's logits [N, C] on ``rows``."""
        return predict(self.model("teacher"), rows, self.accelerator)

    def model(self, role: Role, dropout: float = 0.0) -> PreTrainedModel:
        """Return a new model for ``role``; its weights are always the same, at every rate of dropout."""
        shape = {
            "hidden_size": 16,
            "num_hidden_layers": 2 if role == "teacher" else 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
            # Large enough for the models' answers to differ from text to text.
            "initializer_range": 0.3,
            "hidden_dropout_prob": dropout,
            "attention_probs_dropout_prob": dropout,
        }
        seed = {"student": 1, "teacher": 2, "generator": 3}[role]
        model = build_scratch(shape, self.tokenizer, seed, None if role == "generator" else self.task)
        return model.eval().requires_grad_(role != "teacher")

    def models(self, needs: Collection[Role], *, dropout: float = 0.1) -> Models:
        """Return new models, always the same; those not in ``needs`` are None, as in a run."""
        return Models(
            task=self.task,
            tokenizer=self.tokenizer,
            student=self.model("student", dropout),
            teacher=self.model("teacher", dropout) if "teacher" in needs else None,
            generator=self.model("generator", dropout) if "generator" in needs else None,
            rng=torch.Generator().manual_seed(7),
            accelerator=self.accelerator,
        )

    def context(self, rewriter: Rewriter, student: PreTrainedModel | None = None) -> Context:
        """Return what ``rewriter`` reads; ``student`` replaces the untrained one."""

        def folder_of(role: Role) -> tuple[str, str]:
            model = student if role == "student" and student is not None else self.model(role)
            return saved(model, self.tokenizer, self.folder / self.task.name / role)

        return context_for(rewriter, self.task, folder_of, rows=self.examples, corpus=lambda: Corpus(_BANK))
