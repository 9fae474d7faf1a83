"""Texts rewritten by a strategy outside a run: rows of a task to look at, or a whole table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.tables import Table
from bench.data.tasks import Example, Task
from bench.errors import BenchError, UsageError, unknown
from bench.models.inputs import Role
from bench.rewriting.engine import Rewritten, rewrite_all
from bench.strategy import Batch, Context, Forms, Models, Strategy

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
        self, strategy: Strategy, rows: Sequence[Example], task: Task, texts: Sequence[tuple[str, ...]]
    ) -> Rewritten:
        """Return what ``strategy`` makes of ``rows``, cached; ``texts`` are what it may learn from.

        UsageError where it does not support ``task`` or asks a model that is not there.
        """
        if reason := strategy.supports(task):
            raise UsageError(f"{strategy.spec} skips {task.name}: {reason}")
        with tempfile.TemporaryDirectory() as scratch:
            folders: dict[Role, str] = {}
            digests: dict[Role, str] = {}
            for role in strategy.reads():
                folders[role], digests[role] = self._model(role, strategy, task, Path(scratch))
            device = self.parts.accelerator.device.type if folders else "cpu"
            return rewrite_all(
                strategy,
                rows,
                Context(task, folders, digests, device, texts if strategy.learns_from_texts else ()),
                seed=self.seed,
                edition=strategy.edition(0),
                workers=self.workers,
                cache=self.results / "cache",
                observer=self.progress,
            )

    def _model(self, role: Role, strategy: Strategy, task: Task, scratch: Path) -> tuple[str, str]:
        """Return the folder and digest of the model that ``strategy`` asks; a teacher is written to ``scratch``."""
        if role == "generator":
            return str(self.parts.generator_folder()), self.parts.generator.card["hash"]
        if role == "student":
            raise UsageError(
                f"{strategy.spec} attacks the student in training, which only `bench run` has; attacks need a trained "
                "victim: give the option victim=teacher"
            )
        if task.name not in self.source.tasks:
            raise UsageError(f"{strategy.spec} attacks a task's teacher, which a file has not; look at it with --task")
        from bench.models.load import content_hash

        model = self.parts.teacher(task.name).model
        model.save_pretrained(scratch / role)
        self.parts.tokenizer("student").save_pretrained(scratch / role)
        return str(scratch / role), content_hash(model)

    def sampled(
        self, strategy: Strategy, rows: Sequence[Example], task: Task
    ) -> tuple[list[tuple[str, ...]], list[Forms]]:
        """Return the texts of ``rows`` as the models read them, and what the generator makes of them now.

        For strategies that make their texts in ``views`` (MATE-KD): before the generator learned anything from them.
        """
        import numpy as np
        import torch

        from bench.cost import Cost
        from bench.distill.view_quality import decoded, text_views
        from bench.experiment.parts import rng_for

        parts = self.parts
        parts.check({"generator"}, [task.name])
        device = parts.accelerator.device
        models = Models(
            task=task,
            tokenizer=parts.tokenizer("student"),
            student=parts.classifier("student", task, self.seed).to(device),
            teacher=None,
            generator=parts.fresh_generator(),
            rng=rng_for(self.seed, device),
            cost=Cost(),
            accelerator=parts.accelerator,
        )
        strategy.setup(models)
        encoded = parts.encode(rows, task)
        places = np.arange(len(rows))
        batch = Batch(places, encoded.inputs(places, device), torch.from_numpy(encoded.labels).to(device))
        views = [view.student["input_ids"].tolist() for view in text_views(strategy.views(batch, models))]
        before = [decoded(ids, models) for ids in batch.inputs["input_ids"].tolist()]
        return before, [[decoded(view[row], models) for view in views] for row in range(len(rows))]

    def table(
        self, strategy: Strategy, table: Table, asked: Sequence[str] | None = None
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
        made = self.rewrite(strategy, [Example(row, own) for row, own in enumerate(texts)], task, texts)

        copies = len(made.forms[0])
        found: dict[str, list[Any]] = {
            name: [cell for cell in cells for _ in range(copies)] for name, cells in columns.items()
        }
        for side, name in enumerate(names):
            found[_augmented(name)] = [
                None if cell is None else form[side]
                for cell, forms in zip(columns[name], made.forms, strict=True)
                for form in forms
            ]
        if copies > 1:
            found[FORM] = list(range(1, copies + 1)) * len(rows)
        found[FAILED] = [made.failed.get(row) for row in range(len(rows)) for _ in range(copies)]
        return found, made


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
