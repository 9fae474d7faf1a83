"""What checkpoints cost: seconds and size of one, and their share of the training time at the default period.

    python tests/benchmarks/checkpoint_cost.py [checkpoints]

A run of MATE-KD, which keeps most: student, best student so far (``best-dev``), generator, and the states of two
optimisers. It is that of the preset `mini`, and one of MiniLM's size with random weights: teacher and generator of 6
layers of 384, the student with 3 of them. A checkpoint is written after every update; a median is of those of the
second half. Processor seconds stand beside those of the clock, which a busy machine stretches. The time is to the file
in its place, which the system may then keep in memory for a while.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from accelerate import Accelerator

from bench.data.encode import Encoded
from bench.data.tasks import GLUE
from bench.distill import loop
from bench.distill.checkpoint import Checkpoints
from bench.distill.feed import Feed
from bench.evaluation.predict import predict
from bench.evaluation.selection import selection
from bench.experiment.parts import Parts
from bench.experiment.presets import load_settings, open_data
from bench.experiment.progress import Progress
from bench.profiling.shapes import random_models
from bench.settings import Recipe
from bench.spec import StrategySpec
from bench.strategy import Models

MINILM = {
    "model_type": "bert",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
}
PIECES, LAYERS, LENGTH = 30522, 3, 32
PERIOD = Recipe().checkpoint_seconds


class Quiet(Progress):
    """A display that shows nothing."""

    def note(self, text: str) -> None:
        """Fail: a checkpoint could not be written."""
        raise AssertionError(text)

    def update(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """Say nothing."""


class Timed(Checkpoints):
    """Checkpoints that note for each its seconds by the clock and of the processor, and its bytes."""

    def __init__(self, home: Path, observer: Any) -> None:
        super().__init__(home, observer)
        noted.clear()

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state``."""
        began, busy = time.perf_counter(), time.process_time()
        super().save(state)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        last = self.home / str(self._numbers()[-1])
        noted.append((seconds, busy, sum(file.stat().st_size for file in last.iterdir())))


noted: list[tuple[float, float, int]] = []


def mini(folder: Path) -> tuple[Models, Encoded]:
    """Return the preset's models before training, and rows for them."""
    settings, source = open_data("mini", (), None)
    parts = Parts(settings, source, folder, Quiet())
    return parts.untrained(source.tasks["cola"]), parts.encoded("cola")["train"]


def minilm(folder: Path) -> tuple[Models, Encoded]:
    """Return models of MiniLM's size, and rows for them."""
    settings = load_settings("mini")
    shapes = {"teacher": MINILM | {"vocab_size": PIECES}, "generator": MINILM}
    shapes["student"] = MINILM | {"num_hidden_layers": LAYERS}
    made = {role: replace(getattr(settings, role), shape=shape) for role, shape in shapes.items()}
    return random_models(replace(settings, **made), GLUE["sst2"], LENGTH, Accelerator(cpu=True), folder)


def first(rows: Encoded, count: int) -> Encoded:
    """Return the first ``count`` of ``rows``."""
    return replace(
        rows,
        ids=rows.ids[: rows.offsets[count]],
        types=None if rows.types is None else rows.types[: rows.offsets[count]],
        offsets=rows.offsets[: count + 1],
        labels=rows.labels[:count],
        example_ids=rows.example_ids[:count],
    )


def measure(models: Models, rows: Encoded, count: int, folder: Path) -> None:
    """Train for ``count`` updates, with a checkpoint after each."""
    batch = Recipe().batch_size
    train, dev = first(rows, count * batch), first(rows, batch)
    recipe = replace(Recipe(), epochs=1.0, evaluate_every=1 / count, checkpoint_seconds=0.0, device="cpu")
    strategy = StrategySpec.parse("mate-kd[generator_steps=1,student_steps=1]").create()
    assert models.teacher is not None
    feed = Feed(train, predict(models.teacher, train, models.accelerator), device=torch.device("cpu"))
    splits, rule = {"train": train, "dev": dev}, selection("best-dev")
    loop.distil(
        models, strategy, recipe, rule, feed, splits, seed=0, observer=Quiet(), checkpoints=folder / "checkpoints"
    )


def main(count: int) -> None:
    """Print a line for each of the two."""
    torch.set_num_threads(1)
    loop.Checkpoints = Timed  # type: ignore[misc]
    share = f"share at one in {PERIOD:g} s"
    print(f"{'models':<10}{'parameters':>12}{'seconds':>10}{'processor':>11}{'MB':>8}{share:>27}")
    for name, made in (("mini", mini), ("MiniLM", minilm)):
        with tempfile.TemporaryDirectory() as folder:
            models, rows = made(Path(folder))
            measure(models, rows, count, Path(folder))
        seconds, busy, sizes = zip(*noted[len(noted) // 2 :], strict=True)
        one = statistics.median(seconds)
        trained = sum(model.num_parameters() for model in (models.student, models.generator) if model is not None)
        print(
            f"{name:<10}{trained / 1e6:10.1f} M{one:10.3f}{statistics.median(busy):11.3f}{max(sizes) / 1e6:8.1f}"
            f"{100 * one / (PERIOD + one):25.2f} %",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
