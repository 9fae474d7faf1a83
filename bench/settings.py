"""Everything that can be configured of a run, typed; presets are TOML files of these sections."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.errors import UsageError
from bench.options import option


@dataclass(frozen=True)
class Data:
    """Where examples come from, and how much of each."""

    source: Literal["mini", "hub", "folder"] = "hub"
    """"mini": embedded; "hub": nyu-mll/glue; "folder": what --data-dir names."""
    max_length: int = 128
    """Word pieces a row at most; longer rows are cut."""
    max_train: int | None = None
    """Train on this many rows only, a fixed sample (marked in the record). A generator trained here reads all."""
    rewrite_seed: int = 0
    """Seed of texts rewritten offline, which all seeds of a strategy share."""

    def __post_init__(self) -> None:
        if self.max_length < 8 or (self.max_train is not None and self.max_train < 1):
            raise UsageError("data.max_length must be 8 or more and data.max_train 1 or more")


@dataclass(frozen=True)
class Teacher:
    """The frozen model that is distilled."""

    model: str = "bert-base-uncased"
    """Hub name, folder, "package:NAME", "generator" (the masked LM's encoder) or "scratch"."""
    finetuned: str | None = None
    """A checkpoint that is already fine-tuned; "{task}" in it stands for the task's name."""
    labels: tuple[str, ...] = ()
    """The order of the classes in ``finetuned``, where its own config does not name them."""
    force: bool = False
    """Go on although the teacher does no better than always answering the most frequent class."""
    shape: dict[str, Any] = field(default_factory=dict)
    """For "scratch": the model's configuration (model_type, hidden_size, …)."""
    epochs: float = 3
    batch_size: int = 32
    lr: float = 3e-5
    warmup: float = 0.06
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the frozen teacher's weights. bf16 halves their memory; what it does to the logits is printed."""

    def __post_init__(self) -> None:
        if not 0 < self.epochs < float("inf") or self.batch_size < 1:
            raise UsageError("teacher.epochs must be a number above 0 and teacher.batch_size 1 or more")


@dataclass(frozen=True)
class Student:
    """The model that is trained."""

    model: str = "distilbert-base-uncased"
    """As teacher.model; or "teacher": the encoder that the teacher started from."""
    layers: int | tuple[int, ...] = 0
    """Encoder layers to keep: their numbers from 0, or how many, evenly spaced; 0 keeps all."""
    shape: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Generator:
    """The masked language model that fills in words, and how it is trained where its head is not."""

    model: str = "bert-base-uncased"
    """As teacher.model; or "teacher": the encoder that the teacher started from."""
    layers: int | tuple[int, ...] = 0
    shape: dict[str, Any] = field(default_factory=dict)
    train: Literal["auto", "always", "never"] = "auto"
    """"auto": masked-LM training on the task texts only where the checkpoint has no masked-LM head."""
    tokens: int = 4_000_000
    """Word pieces to train on, at most."""
    passes: float = option(20.0, "how often a text is read at most; a small corpus is not trained on longer", above=0)
    batch_tokens: int = 2048
    """Word pieces in a batch, padding included."""
    lr: float = 5e-4
    mask_rate: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """How a student is trained: the same for every strategy."""

    epochs: float = 3
    batch_size: int = 32
    lr: float = 2e-5
    weight_decay: float = 0.0
    warmup: float = 0.06
    """Share of the student updates over which the learning rate rises; then it falls linearly to zero."""
    clip: float = 5.0
    """Largest norm of the gradient."""
    temperature: float = 1.0
    weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    """Labels, teacher, views: made to sum to one over the terms that a strategy has."""
    selection: Literal["last", "split-dev", "best-dev"] = "last"
    """Which student is reported: see bench.evaluation.selection."""
    evaluate_every: float = 1.0
    """Epochs between evaluations; the last update is always evaluated."""
    checkpoint_seconds: float = 120.0
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu"] = "auto"
    method: Literal["kd", "annealing", "continuation"] = "kd"
    """What a student update minimises: see bench.distill.objective.Objective."""
    first_phase: float = 0.7
    """Share of the student updates over which annealing and continuation raise the teacher's logits to full size."""
    levels: int = 10
    """In how many steps they do."""
    margin: float = 1.0
    """Continuation: squared distance from the teacher's logits that costs nothing."""
    batch_tokens: int | None = None
    """Batches of about this many word pieces, padding included, instead of ``batch_size`` rows."""
    accumulate: int = 1
    """Micro-batches an update is computed in, one after another, to save memory. The update stays that of the batch."""
    recompute: bool = False
    """Activation checkpointing: compute activations again in the backward pass instead of keeping them. Less memory,
    more time, the same numbers."""
    compile: bool = False
    """torch.compile for the encoder layers. Rounds differently; see `bench profile` for whether it is faster."""

    def __post_init__(self) -> None:
        if len(self.weights) != 3 or min(self.weights) < 0 or sum(self.weights[:2]) <= 0:
            raise UsageError(f"recipe.weights are three numbers of 0 or more, not {self.weights}")
        if not 0 < self.epochs < float("inf") or self.batch_size < 1 or self.temperature <= 0:
            raise UsageError("recipe.epochs, recipe.batch_size and recipe.temperature must be above 0")
        if not 0 < self.first_phase <= 1 or self.levels < 1 or self.margin < 0:
            raise UsageError(
                f"recipe.first_phase is a share above 0 and at most 1, recipe.levels 1 or more and recipe.margin 0 or "
                f"more, not {self.first_phase}, {self.levels} and {self.margin}"
            )
        if self.accumulate < 1 or (self.batch_tokens is not None and self.batch_tokens < 1):
            raise UsageError("recipe.accumulate and recipe.batch_tokens must be 1 or more")


# What changes how a result is come by and not the result.
WITHOUT_EFFECT = {"recipe": ("device", "checkpoint_seconds", "recompute"), "teacher": ("force",)}


@dataclass(frozen=True)
class Settings:
    """One preset with its overrides: what took effect."""

    preset: str
    about: str = ""
    data: Data = field(default_factory=Data)
    teacher: Teacher = field(default_factory=Teacher)
    student: Student = field(default_factory=Student)
    generator: Generator = field(default_factory=Generator)
    recipe: Recipe = field(default_factory=Recipe)

    def identity(self) -> dict[str, Any]:
        """Return what the settings have a result depend on: the fields that differ from their defaults.

        So a new field, whose default changes nothing, leaves old results what they are.
        """
        defaults = Settings(self.preset).to_dict()
        return {"preset": self.preset} | {
            name: {
                key: value
                for key, value in section.items()
                if value != defaults[name][key] and key not in WITHOUT_EFFECT.get(name, ())
            }
            for name, section in self.to_dict().items()
            if isinstance(section, dict)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain nested tables."""
        return dataclasses.asdict(self)
