"""Everything that can be configured of a run, typed; presets are TOML files of these sections."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.errors import UsageError
from bench.options import Options, option

_MODEL = "the hub name, the folder, package:NAME, scratch (random weights of the shape below)"
_LAYERS = "the encoder layers to keep; their numbers from 0, or how many, evenly spaced; 0 keeps all"
_SHAPE = "the configuration of a model from scratch (model_type, hidden_size, …)"


@dataclass(frozen=True)
class Data(Options):
    """Where examples come from, and how much of each."""

    source: Literal["mini", "hub", "folder"] = option(
        "hub", "where the rows come from; mini: embedded, hub: nyu-mll/glue, folder: what --data-dir names"
    )
    max_length: int = option(128, "the largest number of word pieces per row; longer rows are truncated", at_least=8)
    max_train: int | None = option(
        None,
        "the number of rows to train on, a fixed sample, marked in the record; a generator trained here reads all",
        at_least=1,
    )
    train_rows: int | None = option(
        None,
        "the number of rows of each class, of scores in all, that students train on; samples are nested",
        at_least=1,
    )
    sample_seed: int = option(
        0, "the seed of the sample that train_rows takes; bench run --train-rows gives each seed its own", at_least=0
    )
    rewrite_seed: int | None = option(
        None,
        "the seed of texts rewritten offline; none: each run's own, as for what generators draw; with a number all "
        "seeds of a strategy share their texts, which saves work and leaves the luck of rewriting out of the spread",
        at_least=0,
        below=2**63,
    )


@dataclass(frozen=True)
class Teacher(Options):
    """The frozen model that is distilled."""

    model: str = option("bert-base-uncased", f"{_MODEL}, or generator (the masked LM's encoder)")
    finetuned: str | None = option(
        None, "a checkpoint that is already fine-tuned; {task} in it stands for the task's name"
    )
    labels: tuple[str, ...] = option(
        (), "the order of the classes in the fine-tuned checkpoint, where its own configuration does not name them"
    )
    force: bool = option(False, "whether to go on although the teacher does no better than the best constant answer")
    rows: Literal["all", "few"] = option(
        "all", "what it is fine-tuned on where data.train_rows leaves students few rows; few: on these"
    )
    shape: dict[str, Any] = option({}, _SHAPE)
    epochs: float = option(3, "the number of passes over the training rows", above=0, at_most=10_000)
    batch_size: int = option(32, "the number of rows per update", at_least=1)
    lr: float = option(3e-5, "the highest learning rate", above=0)
    warmup: float = option(0.06, "the share of the updates over which the learning rate rises", at_least=0, at_most=1)
    precision: Literal["fp32", "bf16"] = option(
        "fp32", "the precision of the frozen weights; bf16 halves their memory, and what it does to logits is printed"
    )


@dataclass(frozen=True)
class Student(Options):
    """The model that is trained."""

    model: str = option("distilbert-base-uncased", f"{_MODEL}, or teacher (the encoder the teacher started from)")
    layers: int | tuple[int, ...] = option(0, _LAYERS, at_least=0)
    shape: dict[str, Any] = option({}, _SHAPE)


@dataclass(frozen=True)
class Generator(Options):
    """The masked language model that fills in words, and how it is trained where its head is not."""

    model: str = option("bert-base-uncased", f"{_MODEL}, or teacher (the encoder the teacher started from)")
    layers: int | tuple[int, ...] = option(0, _LAYERS, at_least=0)
    shape: dict[str, Any] = option({}, _SHAPE)
    train: Literal["auto", "always", "never"] = option(
        "auto", "when to train it on the task texts; auto: only where the checkpoint has no masked-LM head"
    )
    tokens: int = option(4_000_000, "the largest number of word pieces to train on", at_least=1)
    passes: float = option(
        20.0, "the largest number of times a text is read; a small corpus is not trained on longer", above=0
    )
    batch_tokens: int = option(2048, "the number of word pieces per batch, padding included", at_least=1)
    lr: float = option(5e-4, "the highest learning rate", above=0)
    mask_rate: float = option(0.3, "the share of the tokens masked in training", above=0, at_most=1)
    seed: int = option(0, "the seed of its training", at_least=0, below=2**63)


@dataclass(frozen=True)
class Recipe(Options):
    """How a student is trained: the same for every strategy."""

    epochs: float = option(3, "the number of passes over the training rows", above=0, at_most=10_000)
    batch_size: int = option(32, "the number of rows per student update", at_least=1)
    lr: float = option(2e-5, "the highest learning rate", above=0)
    weight_decay: float = option(0.0, "the weight decay of AdamW", at_least=0)
    warmup: float = option(
        0.06,
        "the share of the student updates over which the learning rate rises; then it falls linearly to zero",
        at_least=0,
        at_most=1,
    )
    clip: float = option(5.0, "the largest norm of the gradient", above=0)
    temperature: float = option(1.0, "the temperature of the teacher's and the student's logits", above=0)
    weights: tuple[float, ...] = option(
        (1.0, 1.0, 1.0),
        "the weights of labels, teacher and views; scaled to sum to one over the terms a strategy has",
        at_least=0,
    )
    selection: Literal["last", "split-dev", "best-dev"] = option(
        "last", "which student is reported: see bench docs concepts"
    )
    evaluate_every: float = option(
        1.0, "the number of epochs between evaluations; the last update is always evaluated", above=0
    )
    checkpoint_seconds: float = option(120.0, "the time between checkpoints", at_least=0, at_most=float("inf"))
    precision: Literal["fp32", "bf16"] = option("fp32", "the precision of the models' forward passes")
    device: Literal["auto", "cpu"] = option("auto", "where models run; auto: on a GPU where there is one")
    method: Literal["kd", "annealing", "continuation"] = option(
        "kd", "what a student update minimises: see bench docs concepts"
    )
    first_phase: float = option(
        0.7,
        "the share of student updates over which annealing and continuation bring the teacher's logits to full size",
        above=0,
        at_most=1,
    )
    levels: int = option(10, "the number of steps in which annealing and continuation do so", at_least=1)
    margin: float = option(
        1.0, "the squared distance from the teacher's logits that costs nothing under continuation", at_least=0
    )
    few_updates: int = option(
        300, "the least number of student updates where data.train_rows leaves few rows, and few batches", at_least=1
    )
    batch_tokens: int | None = option(
        None,
        "the number of word pieces per batch, padding included, instead of batch_size rows; a batch's loss being a "
        "mean over its rows, rows of short texts then count less",
        at_least=1,
    )
    accumulate: int = option(
        1,
        "the number of micro-batches an update is computed in, to save memory; the update stays that of the batch",
        at_least=1,
    )
    recompute: bool = option(
        False,
        "whether the backward pass computes activations again instead of keeping them; less memory, more time, the "
        "same numbers",
    )
    compile: bool = option(
        False, "torch.compile for the encoder layers; rounds differently, and `bench profile` says whether it is faster"
    )

    def __post_init__(self) -> None:
        if len(self.weights) != 3 or sum(self.weights[:2]) <= 0:
            raise UsageError(f"recipe.weights are three numbers, of labels or teacher above 0, not {self.weights}")


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
    strategies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Options of strategies by name, in the place of their defaults; a strategy's brackets go before."""

    def identity(self) -> dict[str, Any]:
        """Return what the settings have a result depend on: the fields that differ from their defaults.

        So a new field, whose default changes nothing, leaves old results what they are. Options of strategies are no
        part of it: a result depends on those of its own.
        """
        defaults = Settings(self.preset).to_dict()
        return {"preset": self.preset} | {
            name: {
                key: value
                for key, value in section.items()
                if value != defaults[name][key] and key not in WITHOUT_EFFECT.get(name, ())
            }
            for name, section in self.to_dict().items()
            if isinstance(section, dict) and name != "strategies"
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain nested tables."""
        return dataclasses.asdict(self)
