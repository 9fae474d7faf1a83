"""Texts rewritten by a strategy outside a run: rows of a task to look at, or a whole table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.tables import Table
from bench.data.tasks import Example, Task
from bench.errors import BenchError, UsageError, unknown
from bench.models.inputs import Role
from bench.rewriter import Forms, Rewriter
from bench.rewriting.context import context_for, saved
from bench.rewriting.engine import Rewritten, rewrite_all
from bench.strategy import Batch, Strategy

if TYPE_CHECKING:
    from bench.data.source import Source
    from bench.experiment.parts import Parts
    from bench.experiment.progress import Progress
    from bench.settings import Settings

TEXT_COLUMNS = (
    *("text", "text1", "text2", "text_a", "text_b", "sentence", "sentence1", "sentence2", "premise", "hypothesis"),
    *("question", "question1", "question2", "review", "content", "document"),
)
"""Names of columns that are taken to hold texts."""

WORDS_OF_A_TEXT = 4
"""Where no column has such a name, those of strings with so many words on average are taken to hold texts."""

FAILED, FORM = "augmentation_failed", "augmented_form"


@dataclass
class Augmentation:
    """Rewrites texts with the models of a preset, before anything is distilled."""

    settings: Settings
    source: Source
    results: Path
    progress: Progress
    workers: int | None = None
    seed: int = 0

    @cached_property
    def parts(self) -> Parts:
        """The preset's models; only asked for where a strategy wants one, as that imports torch."""
        from bench.experiment.parts import Parts

        return Parts(self.settings, self.source, self.results, self.progress, self.workers)

    def rewrite(
        self, name: str, rewriter: Rewriter, rows: Sequence[Example], task: Task, train: Sequence[Example]
    ) -> Rewritten:
        """Return what ``rewriter`` of strategy ``name`` makes of ``rows``, cached; ``train`` are those it may read.

        UsageError where it reads a model that is not there.
        """
        with tempfile.TemporaryDirectory() as scratch:
            reads_models = set(rewriter.reads()) - {"texts"}
            device = self.parts.accelerator.device.type if reads_models else "cpu"
            folder_of = partial(self._folder_of, name, task, Path(scratch))
            return rewrite_all(
                rewriter,
                rows,
                context_for(rewriter, task, folder_of, device, train, lambda: self.parts.corpus(task.name)),
                name=name,
                seed=self.seed,
                workers=self.workers,
                cache=self.results / "cache",
                observer=self.progress,
            )

    def _folder_of(self, name: str, task: Task, scratch: Path, role: Role) -> tuple[str, str]:
        """Return the folder and digest of the model that a rewriter reads; a teacher is saved to ``scratch``."""
        if role == "generator":
            return str(self.parts.generator_folder()), self.parts.generator.card["hash"]
        if role == "student":
            raise UsageError(
                f"{name} attacks the student in training, which only `bench run` has; attacks need a trained "
                "victim: give the option victim=teacher"
            )
        if task.name not in self.source.tasks:
            raise UsageError(f"{name} attacks a task's teacher, which a file has not; look at it with --task")
        return saved(self.parts.teacher(task.name).model, self.parts.tokenizer("student"), scratch / role)

    def sampled(
        self, strategy: Strategy, rows: Sequence[Example], task: Task
    ) -> tuple[list[tuple[str, ...]], list[Forms]]:
        """Return the texts of ``rows`` as the models read them, and what the generator makes of them now.

        For strategies that make their texts in ``views`` (MATE-KD): before the generator learned anything from them.
        """
        import numpy as np
        import torch

        from bench.distill.view_quality import decoded, text_views

        parts = self.parts
        parts.check({"generator"}, [task.name])
        device = parts.accelerator.device
        models = parts.models(task, self.seed, generator=parts.fresh_generator())
        models.training = False
        strategy.setup(models)
        encoded = parts.encode(rows, task)
        places = np.arange(len(rows))
        batch = Batch(places, encoded.inputs(places, device), torch.from_numpy(encoded.labels).to(device))
        views = [view.student["input_ids"].tolist() for view in text_views(strategy.views(batch, models))]
        before = [decoded(ids, models) for ids in batch.inputs["input_ids"].tolist()]
        return before, [[decoded(view[row], models) for view in views] for row in range(len(rows))]

    def table(
        self, name: str, rewriter: Rewriter, table: Table, asked: Sequence[str] | None = None
    ) -> tuple[dict[str, list[Any]], Rewritten]:
        """Return the columns of ``table`` with those of its rewritten texts, and how the rewriting went.

        Beside each text column NAME (those ``asked`` for, or those that look like texts) stands NAME_augmented.
        A row occurs once for each of its forms, numbered in ``FORM`` where there are several; ``FAILED`` says why a
        row was left as it was. Raises UsageError for a column that is not there, BenchError for a cell that is no text.
        """
        rows = list(table.rows)
        if not rows:
            raise BenchError(f"{table.source} has no rows")
        columns = {name: [cells[table.index(name)] for _, cells in rows] for name in table.columns}
        names = _text_columns(table.source, columns, asked)
        for name in (*map(_augmented, names), FORM, FAILED):
            if name in columns:
                raise UsageError(f"{table.source} has a column {name!r} already; rename it or choose other columns")
        for name in names:
            for (number, _), cell in zip(rows, columns[name], strict=True):
                if cell is not None and not isinstance(cell, str):
                    raise BenchError(f"{table.where(number)}: {name} is not a text but {cell!r}")
        texts = list(zip(*([cell or "" for cell in columns[name]] for name in names), strict=True))
        task = Task("file", "a file", names, labels=(), metrics=(), rows={})
        examples = [Example(row, own) for row, own in enumerate(texts)]
        rewritten = self.rewrite(name, rewriter, examples, task, examples)

        copies = len(rewritten.forms[0])
        beside: dict[str, list[Any]] = {
            name: [cell for cell in cells for _ in range(copies)] for name, cells in columns.items()
        }
        for side, name in enumerate(names):
            beside[_augmented(name)] = [
                None if cell is None else form[side]
                for cell, forms in zip(columns[name], rewritten.forms, strict=True)
                for form in forms
            ]
        if copies > 1:
            beside[FORM] = list(range(1, copies + 1)) * len(rows)
        beside[FAILED] = [rewritten.failed.get(row) for row in range(len(rows)) for _ in range(copies)]
        return beside, rewritten


def _augmented(name: str) -> str:
    return f"{name}_augmented"


def _text_columns(
    source: str, columns: Mapping[str, Sequence[Any]], asked: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the columns to rewrite: those asked for, those with the name of a text, or those of several words."""
    if asked is not None:
        for name in asked:
            if name not in columns:
                raise unknown("column", name, columns, f"(in {source})")
        names = tuple(dict.fromkeys(asked))
    else:
        words = {name: _words(cells) for name, cells in columns.items()}
        names = tuple(name for name in columns if words[name] and name.lower() in TEXT_COLUMNS)
        names = names or tuple(name for name in columns if words[name] >= WORDS_OF_A_TEXT)
    if not names:
        raise UsageError(
            f"no column of {source} looks like texts; say which to rewrite: --columns NAME,NAME "
            f"(columns found: {', '.join(columns)})"
        )
    return names


def _words(cells: Sequence[Any]) -> float:
    """Return the mean number of words of the cells that are not empty; 0 where there are other things than texts."""
    if not all(cell is None or isinstance(cell, str) for cell in cells):
        return 0.0
    filled = [cell for cell in cells if cell and cell.strip()]
    return sum(len(cell.split()) for cell in filled) / max(1, len(filled))
