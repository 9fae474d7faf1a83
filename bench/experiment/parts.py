"""Everything a cell is assembled from: data, tokenizer, teacher, generator, student; each made once."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bench.cost import Cost
from bench.data.encode import Encoded, encode
from bench.data.pretokenised import pretokenised
from bench.data.source import Source, TaskData
from bench.data.sources import at_hand
from bench.data.tasks import Example, Task
from bench.distill.generator import TrainedGenerator, seconds_to_train, train_generator
from bench.distill.teacher import (
    TeacherTraining,
    TrainedTeacher,
    check_better_than_constant,
    fine_tune,
    load_finetuned,
    teacher_logits,
)
from bench.errors import BenchError, UsageError
from bench.experiment.few import few_rows
from bench.experiment.followers import Followers
from bench.models.load import (
    build_scratch,
    check_shape,
    check_vocabularies,
    content_hash,
    load_classifier,
    load_config,
    load_masked_lm,
    load_tokenizer,
    locate,
    try_scratch,
)
from bench.models.reshape import chosen_layers, keep_layers
from bench.models.streams import stream_seed
from bench.models.tokenizer import word_tokenizer
from bench.observer import Observer, Silent
from bench.rewriter import Corpus
from bench.rewriting.context import saved
from bench.settings import Settings
from bench.startup import processes
from bench.strategy import Models


class Parts:
    """Loads, trains and caches the models and data of one preset."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        results: Path,
        observer: Observer,
        workers: int | None = None,
        followers: Followers | None = None,
    ) -> None:
        self.settings, self.source, self.observer, self.workers = settings, source, observer, workers
        self.followers = followers or Followers()
        self.followers.parts.append(self)
        self.cache = results / "cache"
        # The data and the teacher of the task in hand are kept in memory, those of others are not.
        self.data = lru_cache(maxsize=1)(self._data)
        self.encoded = lru_cache(maxsize=1)(self._encoded)
        self.teacher = lru_cache(maxsize=1)(self._teacher)

    def under(self, settings: Settings, observer: Observer) -> Parts:
        """Return these parts under other ``settings`` on the same texts: what was made of these is not made again."""
        parts = Parts(settings, self.source, self.cache.parent, observer, self.workers)
        shared = {name: value for name, value in vars(self).items() if name in ("texts", "_word_tokenizer")}
        vars(parts).update(shared)
        return parts

    @cached_property
    def accelerator(self) -> Any:
        """The accelerate handle: device and precision."""
        from accelerate import InitProcessGroupKwargs

        from bench.models.accelerator import PreciseAccelerator

        recipe = self.settings.recipe
        on_cpu = recipe.device == "cpu"
        if processes() == 1:
            return PreciseAccelerator(recipe.precision, cpu=on_cpu)
        # Where there is no GPU, accelerate connects processes only if it is told so.
        on_cpu = on_cpu or not torch.accelerator.is_available() or torch.backends.mps.is_available()
        # One process may rewrite texts for long while others wait to train on them.
        waits = [InitProcessGroupKwargs(timeout=timedelta(hours=12))]
        return PreciseAccelerator(recipe.precision, cpu=on_cpu, kwargs_handlers=waits)

    def origin(self, role: str) -> str:
        """Return the role whose settings name the model of ``role``: "teacher" for student.model = "teacher"."""
        seen = [role]
        while (model := getattr(self.settings, seen[-1]).model) in ("teacher", "student", "generator"):
            if model in seen:
                raise UsageError(f"{model}.model leads back to itself: {' -> '.join([*seen, model])}")
            seen.append(model)
        return seen[-1]

    def where(self, role: str) -> str | None:
        """Return the folder or hub name that ``role`` starts from, or None for random weights."""
        origin = self.origin(role)
        if origin == "generator" != role:
            # Not the checkpoint it started from: its encoder as trained here.
            return None if self.generator.home is None else str(self.generator.home)
        model = getattr(self.settings, origin).model
        return None if model == "scratch" else locate(model)

    def tokenizer(self, role: str) -> PreTrainedTokenizerBase:
        """Return the tokenizer of ``role``; models from scratch share one made from the texts at hand."""
        model = getattr(self.settings, self.origin(role)).model
        return self._word_tokenizer if model == "scratch" else load_tokenizer(locate(model))

    @cached_property
    def _word_tokenizer(self) -> PreTrainedTokenizerBase:
        words = (text for texts in self.texts for text in texts)
        return word_tokenizer(words, self.cache / "tokenizers", observer=self.observer)

    @cached_property
    def texts(self) -> list[tuple[str, ...]]:
        """The training texts of all tasks at hand."""
        rows: list[tuple[str, ...]] = []
        for name, task in self.source.tasks.items():
            if task.trained_on is None and at_hand(self.source, name):
                rows += (example.texts for example in self.source.load(name).splits["train"])
        if not rows:
            raise BenchError(f"the data source {self.source.name!r} holds no training texts")
        return rows

    def corpus(self, task: str) -> Corpus:
        """Return the training texts of all tasks at hand; the rows of ``task``, if it is one, that it is scored on."""
        splits = self.data(task).splits if task in self.source.tasks else {}
        held_out = {text for name, rows in splits.items() if name != "train" for row in rows for text in row.texts}
        texts = dict.fromkeys(text for row in self.texts for text in row)
        return Corpus([text for text in texts if text not in held_out], held_out)

    def _data(self, task: str) -> TaskData:
        """Return the rows of ``task``, those to train on cut to the samples that the settings ask for."""
        data = self._whole(task)
        if (number := self.settings.data.train_rows) is None:
            return data
        seed, is_regression = self.settings.data.sample_seed, data.task.is_regression
        few = few_rows(data.splits["train"], number, seed, is_regression=is_regression)
        return dataclasses.replace(data, splits={**data.splits, "train": few})

    def _whole(self, task: str) -> TaskData:
        """Return the rows of ``task``, its training rows cut to the sample that ``data.max_train`` asks for."""
        data = self.source.load(task)
        splits = dict(data.splits)
        most = self.settings.data.max_train
        if most is not None and most < len(splits["train"]):
            # One sample for all seeds and strategies.
            rows = np.sort(np.random.default_rng(0).permutation(len(splits["train"]))[:most])
            splits["train"] = [splits["train"][row] for row in rows]
        follower = next((t for t in self.source.tasks.values() if t.trained_on == task), None)
        if follower is not None and at_hand(self.source, follower.name):
            # A set without training rows of its own (AX) is predicted by this task's model.
            splits[follower.name] = self.source.load(follower.name).splits["test"]
        return dataclasses.replace(data, splits=splits)

    def _encoded(self, task: str) -> dict[str, Encoded]:
        """Return every split of ``task``, tokenised, in memory-mapped files of the cache."""
        data = self.data(task)
        return {split: self._pretokenised(rows, data.task) for split, rows in data.splits.items()}

    def _pretokenised(self, rows: Sequence[Example], task: Task) -> Encoded:
        tokenizer, most = self.tokenizer("student"), self.settings.data.max_length
        is_regression, observer = task.is_regression, self.observer
        return pretokenised(rows, tokenizer, most, self.cache, is_regression=is_regression, observer=observer)

    def encode(self, rows: Sequence[Example], task: Task) -> Encoded:
        """Return ``rows`` of ``task``, tokenised."""
        tokenizer, most = self.tokenizer("student"), self.settings.data.max_length
        return encode(rows, tokenizer, most, is_regression=task.is_regression)

    def _teacher(self, name: str) -> TrainedTeacher:
        """Return the frozen teacher of task ``name``: given, cached or fine-tuned now."""
        settings, task = self.settings.teacher, self.source.tasks[name]
        if settings.finetuned is not None:
            where = settings.finetuned.replace("{task}", task.name)
            return load_finetuned(where, task, self.encoded(name), settings, self.accelerator, self.observer)
        together = self.followers.together("teacher", self.followers.parts.index(self), name)
        return fine_tune(self._training_of_teacher(name), self.observer, together)

    def train_teacher_along(self, name: str) -> None:
        """Take part in the training of the teacher of task ``name`` that another process makes."""
        self._training_of_teacher(name).learn(Silent())

    def _training_of_teacher(self, name: str) -> TeacherTraining:
        settings, task, splits = self.settings.teacher, self.source.tasks[name], self.encoded(name)
        if self.settings.data.train_rows is not None and settings.rows == "all":
            # One teacher for students of every number of rows.
            splits = {**splits, "train": self._pretokenised(self._whole(name).splits["train"], task)}
        return TeacherTraining(
            self.classifier("teacher", task, seed=0),
            self.tokenizer("teacher"),
            task,
            splits,
            settings,
            self.settings.recipe,
            self.accelerator,
            self.cache,
        )

    def checked_teacher(self, task: Task) -> TrainedTeacher:
        """Return the teacher of ``task``; BenchError if it learned nothing (unless forced or excused)."""
        teacher = self.teacher(task.name)
        check_better_than_constant(teacher, task, force=self.settings.teacher.force, observer=self.observer)
        return teacher

    def logits_of(self, teacher: TrainedTeacher, rows: Encoded) -> tuple[np.ndarray, float]:
        """Return the logits [N, C] of ``teacher`` on ``rows``, computed once per teacher and text, and their time."""
        return teacher_logits(teacher, rows, self.accelerator, self.cache, self.observer)

    def classifier(self, role: str, task: Task, seed: int) -> PreTrainedModel:
        """Return a teacher or student for ``task`` before its training; what is new in it follows ``seed``."""
        settings = getattr(self.settings, role)
        where = self.where(role)
        layers = getattr(settings, "layers", 0)
        if where is None:
            return keep_layers(build_scratch(self.shape(role), self.tokenizer(role), seed, task), layers)
        return load_classifier(where, task, seed, layers)

    def shape(self, role: str) -> dict[str, Any]:
        """Return the configuration of a ``role`` from scratch: its own, over its origin's if of one family."""
        own, origin = getattr(self.settings, role).shape, getattr(self.settings, self.origin(role)).shape
        return own if "model_type" in own else {**origin, **own}

    @cached_property
    def generator(self) -> TrainedGenerator:
        """The masked LM: the checkpoint's own where its head is trained, else trained here and cached."""
        settings = self.settings.generator
        where = self.where("generator")
        model, is_ready = self.starting_generator()
        if is_ready:
            card = {"hash": content_hash(model), "perplexity": None}
            return TrainedGenerator(model, None if where is None else Path(where), card)
        return train_generator(
            model,
            self.tokenizer("generator"),
            self.texts,
            settings,
            self.settings.data.max_length,
            self.accelerator,
            self.cache,
            self.observer,
        )

    def seconds_of_generator(self) -> float | None:
        """Return about how long the generator's training would take; None where there is nothing to train."""
        model, is_ready = self.starting_generator()
        settings, most = self.settings.generator, self.settings.data.max_length
        tokenizer = self.tokenizer("generator")
        if is_ready:
            return None
        return seconds_to_train(model, tokenizer, self.texts, settings, most, self.accelerator, self.cache)

    def starting_generator(self) -> tuple[PreTrainedModel, bool]:
        """Return the masked LM before any training here, and whether it is left as it is."""
        settings, where = self.settings.generator, self.where("generator")
        if where is None:
            scratch = build_scratch(self.shape("generator"), self.tokenizer("generator"), settings.seed)
            model, head_is_trained = keep_layers(scratch, settings.layers), False
        else:
            model, head_is_trained = load_masked_lm(where, settings.seed, settings.layers)
        return model, settings.train == "never" or (settings.train == "auto" and head_is_trained)

    def models(
        self,
        task: Task,
        seed: int,
        *,
        teacher: PreTrainedModel | None = None,
        generator: PreTrainedModel | None = None,
        cost: Cost | None = None,
    ) -> Models:
        """Return what a strategy works with on ``task``: the student before its training, and those given."""
        device = self.accelerator.device
        return Models(
            task=task,
            tokenizer=self.tokenizer("student"),
            student=self.classifier("student", task, seed).to(device),
            teacher=None if teacher is None else teacher.to(device).eval().requires_grad_(False),
            generator=None if generator is None else generator.to(device),
            rng=torch.Generator(device).manual_seed(stream_seed(seed, "strategy")),
            cost=cost or Cost(),
            accelerator=self.accelerator,
        )

    def untrained(self, task: Task) -> Models:
        """Return the models of ``task`` as they are before any training: enough to time them."""
        teacher, (generator, _) = self.classifier("teacher", task, seed=0), self.starting_generator()
        return self.models(task, 0, teacher=teacher, generator=generator)

    def generator_folder(self) -> Path:
        """Return a folder with the generator and its tokenizer, for those who rewrite texts with it."""
        home = self.generator.home
        if home is not None and home.is_dir():  # trained here, or a folder of the user's own
            return home
        untrained = self.cache / "generators" / "untrained"
        return Path(saved(self.generator.model, self.tokenizer("generator"), untrained, self.observer)[0])

    def fresh_generator(self) -> PreTrainedModel:
        """Return a copy of the generator that a run may change."""
        return copy.deepcopy(self.generator.model)

    def check(self, roles: Collection[str], tasks: Collection[str]) -> None:
        """Raise UsageError for a model that cannot be built, or for ``roles`` that do not share one vocabulary."""
        if processes() > self.settings.recipe.accumulate:
            raise UsageError(
                f"{processes()} processes share the parts of a batch, and recipe.accumulate="
                f"{self.settings.recipe.accumulate} makes fewer: --set recipe.accumulate={processes()}, or a multiple"
            )
        for role in ("teacher", "student", "generator"):
            check_shape(getattr(self.settings, role).shape)
        besides: list[str] = ["generator"] if "generator" in roles else []
        tokenizers = {role: self.tokenizer(role) for role in ["student", *besides]}
        finetuned = self.settings.teacher.finetuned
        for role in [*tokenizers, *(["teacher"] if "teacher" in roles and finetuned is None else [])]:
            self._check_model(role)
        if "teacher" in roles:
            wheres = {finetuned.replace("{task}", task) for task in tasks} if finetuned is not None else {None}
            for where in sorted(wheres, key=str):
                own = self.tokenizer("teacher") if where is None else load_tokenizer(locate(where))
                check_vocabularies({**tokenizers, "teacher": own})
        check_vocabularies(tokenizers)

    def _check_model(self, role: str) -> None:
        """Raise UsageError if the model of ``role`` cannot be built, read the longest row, or keep the layers asked."""
        origin, most = self.origin(role), self.settings.data.max_length
        model = getattr(self.settings, origin).model
        if model == "scratch":
            config = try_scratch(role, self.shape(role), self.tokenizer(role), most)
        else:
            config = load_config(locate(model))
            if 0 < getattr(config, "max_position_embeddings", 0) < most:
                raise UsageError(
                    f"data.max_length={most}, but the {role} {model} reads {config.max_position_embeddings} word "
                    f"pieces at most"
                )
        total = config.num_hidden_layers
        for name in dict.fromkeys((origin, role)):
            # An encoder of the generator's has the layers that the generator kept.
            if layers := getattr(getattr(self.settings, name), "layers", 0) if name in (role, "generator") else 0:
                total = len(chosen_layers(total, layers, name))
