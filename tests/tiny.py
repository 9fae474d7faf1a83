"""What tests of the training loop share: tiny tasks, rows, models and an observer that writes down what it is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from families import MASK, build, tokenizer

from bench.cost import Cost
from bench.data.encode import Encoded, encode
from bench.data.tasks import GLUE, Example, Task
from bench.strategy import Batch, Models

CLASSES = dataclasses.replace(GLUE["mnli"], name="tiny")
SCORES = dataclasses.replace(GLUE["stsb"], name="tiny-scores")
PRESET = """
[data]
source = "mini"
max_length = 48
max_train = 64

[teacher]
model = "scratch"
epochs = 1
force = true

[student]
model = "teacher"

[recipe]
epochs = 2

[teacher.shape]
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 16
"""
"""A preset file of the smallest models, trained for a moment on a few rows of mini."""


class Notes:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, int, int, float | None]] = []
        self.scores: list[float] = []
        self.notes: list[str] = []

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        self.updates.append((phase, done, total, loss))

    def evaluated(self, metric: str, value: float) -> None:
        self.scores.append(value)

    def note(self, text: str) -> None:
        self.notes.append(text)


def examples(n: int, task: Task = CLASSES, seed: int = 0, most: int = 7) -> list[Example]:
    """Pairs of random words; the class is a function of the first word, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        sides = [rng.integers(4, MASK, rng.integers(2, most)) for _ in range(2)]
        label = float(rng.uniform(0, 5)) if task.is_regression else int(sides[0][0]) % task.n_outputs
        rows.append(Example(100 + i, tuple(" ".join(f"w{w}" for w in side) for side in sides), label))
    return rows


def rows(n: int, task: Task = CLASSES, seed: int = 0, most: int = 7) -> Encoded:
    return encode(examples(n, task, seed, most), tokenizer(), 24, is_regression=task.is_regression)


def make_models(family: str = "bert", task: Task = CLASSES, dropout: float = 0.0, **changes: Any) -> Models:
    parts: dict[str, Any] = {
        "student": build(family, "classifier", seed=2, labels=task.n_outputs).float(),
        "teacher": build(family, "classifier", seed=1, layers=2, labels=task.n_outputs).float(),
        "generator": build(family, "masked_lm", seed=3).float(),
    }
    for model in parts.values():
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
    parts["teacher"].requires_grad_(False)
    parts |= changes
    return Models(
        task=task,
        tokenizer=tokenizer(),
        rng=torch.Generator().manual_seed(7),
        cost=Cost(),
        accelerator=Accelerator(cpu=True),
        **parts,
    )


def models_and_batch(family: str, task: Task, n: int = 6) -> tuple[Models, Batch]:
    """Models whose student has weights of its own, and a batch of ``n`` rows with the teacher's logits."""
    student = build(family, "classifier", seed=2, labels=task.n_outputs)
    models, data = make_models(family, task, student=student), rows(n, task)
    batch = Batch(np.arange(n), data.inputs(np.arange(n)), torch.from_numpy(data.labels))
    with torch.no_grad():
        batch.teacher_logits = models.logits("teacher", batch.inputs).double()
    return models, batch
