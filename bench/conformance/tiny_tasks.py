"""Made tasks, odd rows and tiny random models: what a strategy is checked on, in seconds and without downloads."""

from __future__ import annotations

import copy
import random
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from bench.cost import Cost
from bench.data.encode import Encoded, encode
from bench.data.tasks import Example, Task
from bench.evaluation.predict import predict
from bench.models.inputs import Role
from bench.models.load import build_scratch
from bench.models.tokenizer import word_tokenizer
from bench.rewriter import Context, Rewriter
from bench.rewriting.context import context_for, saved
from bench.strategy import Models

_LENGTH = 32
_SHAPE: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    # Large enough for the models' answers to differ from text to text.
    "initializer_range": 0.3,
}

SENTENCE = Task(
    name="made-sentence",
    title="made sentences",
    texts=("sentence",),
    labels=("negative", "positive"),
    metrics=("accuracy",),
    rows={},
)
PAIR = Task(
    name="made-pair",
    title="made pairs",
    texts=("premise", "hypothesis"),
    labels=("entailment", "neutral", "contradiction"),
    metrics=("accuracy",),
    rows={},
    directed=True,
)
SCORE = Task(
    name="made-score",
    title="made scores",
    texts=("sentence1", "sentence2"),
    labels=(),
    metrics=("pearson",),
    rows={},
    score_range=(0.0, 5.0),
)
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


def rngs(rows: Sequence[Example], seed: int) -> list[random.Random]:
    """Return a random generator for each of ``rows``, a function of its id and ``seed``."""
    return [random.Random(f"{seed}/{row.id}") for row in rows]


class TinyTask:
    """One made task with its rows and tiny models; ``folder`` is where models are saved for ``Context``.

    ``before`` is what the rows were before any strategy saw them.
    """

    def __init__(self, task: Task, folder: Path) -> None:
        self.task, self.folder = task, folder
        self._encoded: dict[Any, Encoded] = {}
        self._known: dict[int, np.ndarray] = {}
        self._made: dict[float, dict[Role, PreTrainedModel]] = {}
        self.examples = examples(task)
        self.before = [(row.id, row.texts, row.label) for row in self.examples]
        words = (text for made in TASKS for row in examples(made) for text in row.texts)
        self.tokenizer = word_tokenizer(words, folder / "tokenizers")

    @cached_property
    def short(self) -> list[Example]:
        """The rows but the one with the endless text, for what is done many times."""
        return [row for row in self.examples if ODD[ENDLESS] not in row.texts]

    def encode(self, rows: Sequence[Example]) -> Encoded:
        """Return ``rows``, tokenised; the same object for the same texts."""
        key = tuple((row.id, row.texts) for row in rows)
        if key not in self._encoded:
            self._encoded[key] = encode(rows, self.tokenizer, _LENGTH, is_regression=self.task.is_regression)
        return self._encoded[key]

    def splits(self) -> dict[str, Encoded]:
        """Return the rows as the train and the dev split."""
        return dict.fromkeys(("train", "dev"), self.encode(self.examples))

    def _originals(self, dropout: float) -> dict[Role, PreTrainedModel]:
        """Return the models that copies are made of; their weights are the same at every rate of dropout."""
        if dropout not in self._made:
            shape = {**_SHAPE, "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
            one, two = {**shape, "num_hidden_layers": 1}, {**shape, "num_hidden_layers": 2}
            self._made[dropout] = {
                "student": build_scratch(one, self.tokenizer, 1, self.task).eval(),
                "teacher": build_scratch(two, self.tokenizer, 2, self.task).eval().requires_grad_(False),
                "generator": build_scratch(one, self.tokenizer, 3).eval(),
            }
        return self._made[dropout]

    @cached_property
    def accelerator(self) -> Any:
        """The accelerate handle, on the CPU, where the same numbers can be asked for."""
        from accelerate import Accelerator

        return Accelerator(cpu=True)

    def models(self, needs: Collection[Role], *, dropout: float = 0.1) -> Models:
        """Return fresh copies of the models, always the same; those not in ``needs`` are None, as in a run."""
        made = copy.deepcopy(self._originals(dropout))
        return Models(
            task=self.task,
            tokenizer=self.tokenizer,
            student=made["student"],
            teacher=made["teacher"] if "teacher" in needs else None,
            generator=made["generator"] if "generator" in needs else None,
            rng=torch.Generator().manual_seed(7),
            cost=Cost(),
            accelerator=self.accelerator,
        )

    def teacher_logits(self, rows: Encoded) -> np.ndarray:
        """Return the teacher's logits [N, C] on ``rows``, which ``encode`` returned."""
        if id(rows) not in self._known:
            self._known[id(rows)] = predict(self._originals(0.0)["teacher"], rows, self.accelerator)
        return self._known[id(rows)]

    def context(self, rewriter: Rewriter, student: PreTrainedModel | None = None) -> Context:
        """Return what ``rewriter`` reads; ``student`` replaces the untrained one."""
        models = dict(self._originals(0.0))
        if student is not None:
            models["student"] = student
        return context_for(
            rewriter,
            self.task,
            lambda role: saved(models[role], self.tokenizer, self.folder / self.task.name / role),
            texts=tuple(row.texts for row in self.examples),
        )
