"""Models of a preset's shape with random weights, and texts of a given length: profiling without downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data.encode import Encoded, encode
from bench.data.tasks import Example, Task
from bench.errors import UsageError
from bench.models.load import build_scratch
from bench.models.tokenizer import word_tokenizer
from bench.settings import Settings
from bench.strategy import Models

_ROWS = 512


def random_models(settings: Settings, task: Task, length: int, accelerator: Any, cache: Path) -> tuple[Models, Encoded]:
    """Return models of the preset's ``shape`` sections and 512 texts of ``length`` word pieces for them."""
    for role in ("teacher", "student", "generator"):
        if not getattr(settings, role).shape:
            raise UsageError(
                f"preset {settings.preset!r} gives no {role}.shape, so its models cannot be made up; profile it "
                f"with its own weights, without --random-weights"
            )
    pieces = settings.teacher.shape["vocab_size"]
    words = [f"w{i}" for i in range(pieces)]
    tokenizer = word_tokenizer(words, cache / "tokenizers", limit=pieces)
    rng = np.random.default_rng(0)
    examples = [Example(i, (" ".join(rng.choice(words, length - 2)),), 0 if task.labels else 0.0) for i in range(_ROWS)]
    shapes = {
        role: {k: v for k, v in getattr(settings, role).shape.items() if k != "vocab_size"}
        for role in ("teacher", "student", "generator")
    }
    teacher = build_scratch(shapes["teacher"], tokenizer, 0, task)
    models = Models(
        task=task,
        tokenizer=tokenizer,
        student=build_scratch(shapes["student"], tokenizer, 0, task).to(accelerator.device),
        teacher=teacher.to(accelerator.device).eval().requires_grad_(False),
        generator=build_scratch(shapes["generator"], tokenizer, 0).to(accelerator.device),
        rng=torch.Generator(accelerator.device),
        accelerator=accelerator,
    )
    return models, encode(examples, tokenizer, length, is_regression=task.is_regression)
