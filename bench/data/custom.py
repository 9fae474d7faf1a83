"""A user's own classification or regression task, described by a TOML file whose keys are the fields of ``TaskFile``.

name = "reviews"
texts = ["text"]
label = "rating"
labels = ["bad", "good"]

[files]
train = "train.tsv"
dev = "dev.tsv"
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from bench.data.source import Source, TaskData
from bench.data.tables import FORMATS, read_bytes, read_table, to_examples
from bench.data.tasks import CLASS_METRICS, GLUE, SCORE_METRICS, Task
from bench.errors import UsageError, unknown
from bench.options import build, option
from bench.toml import read_toml


@dataclass(frozen=True)
class Files:
    """The files of a task, relative to the task file: .tsv, .csv or .jsonl (also .gz), or .parquet, with a header."""

    train: str = option(MISSING, "the rows to train on")
    dev: str = option(MISSING, "the rows that students are compared on")
    test: str | None = option(None, "rows to predict; their labels may be missing")


@dataclass(frozen=True)
class TaskFile:
    """The keys of a task file."""

    name: str = option(MISSING, "what tables and folders call the task: lower-case letters, digits, - and _")
    texts: tuple[str, ...] = option(MISSING, "the columns of the text, or of the two texts of a pair")
    files: Files = option(MISSING, "the files of rows")
    label: str = option("label", "the column of the label")
    labels: tuple[str, ...] = option((), "the classes in order, in the files by name or as 0, 1, …; none: regression")
    metrics: tuple[str, ...] = option(
        (), f"the metrics, the main one first: {', '.join(CLASS_METRICS)}, or for scores {', '.join(SCORE_METRICS)}"
    )
    score_range: tuple[float, ...] | None = option(None, "the lowest and the highest score, for regression only")
    title: str = option("", "a longer name")
    quoting: bool = option(False, "whether .tsv files are quoted as CSV is")

    def task(self) -> Task:
        """Return the task described; UsageError says what of it makes no sense."""
        if self.name in GLUE:
            raise UsageError(f"name is {self.name!r}, which is GLUE's; choose another")
        if len(self.texts) > 2:
            raise UsageError(f"texts names {len(self.texts)} columns; one or two are possible")
        # Where a class's own name is a number, numbers in the files are names and nothing else.
        numbered = not any(label.lstrip("-").isdigit() for label in self.labels)
        return Task(
            name=self.name,
            title=self.title or self.name,
            texts=self.texts,
            labels=self.labels,
            metrics=self.metrics or (("accuracy",) if self.labels else SCORE_METRICS),
            rows=dict.fromkeys(("train", "dev", "test") if self.files.test else ("train", "dev")),
            label_column=self.label,
            submission_labels=tuple(str(index) for index in range(len(self.labels))) if numbered else self.labels,
            score_range=self.score_range,  # type: ignore[arg-type]  # Task checks that they are two
        )


class FileSource:
    """The one task of a task file. Its files are read once, when they are first asked for."""

    name = "file"

    def __init__(self, task: Task, files: Mapping[str, Path], quoting: bool = False) -> None:
        self.tasks: Mapping[str, Task] = MappingProxyType({task.name: task})
        self._task, self._files, self._quoting = task, files, quoting

    def __getstate__(self) -> dict[str, Any]:
        # Where a cell runs its rows are read again: they would travel with every cell.
        return {name: value for name, value in vars(self).items() if name != "_data"}

    def load(self, task: str) -> TaskData:
        """Return the splits the task file names; errors name the file and line."""
        if task not in self.tasks:
            raise unknown("task", task, self.tasks)
        return self._data

    def fingerprint(self, task: str) -> str:
        """Return the hash of the files, decompressed, and of how the task file reads them."""
        return self.load(task).fingerprint

    def count(self, task: str) -> dict[str, int]:
        """Return the number of rows of every split."""
        return self.load(task).rows

    @cached_property
    def _data(self) -> TaskData:
        task, splits = self._task, {}
        reading = (task.texts, task.label_column, task.labels, task.metrics, self._quoting)
        digest = hashlib.sha256(repr(reading).encode())
        for split, path in self._files.items():
            table = read_table(path, quoting=self._quoting, only=(*task.texts, task.label_column))
            labels: Literal["required", "optional"] = "optional" if split == "test" else "required"
            splits[split] = to_examples(table, task, task.texts, task.label_column, labels)
            digest.update(f"{split} {hashlib.sha256(read_bytes(path)).hexdigest()}\n".encode())
        return TaskData(task, splits, self.name, digest.hexdigest()[:16])


def by_source(wanted: Sequence[str], source: Source) -> dict[Source, list[str]]:
    """Return the tasks ``wanted`` under where their rows are: names with ``source``, each ``FILE.toml`` with itself."""
    names = [name for name in wanted if not name.endswith(".toml")]
    files = [load_task_file(Path(name)) for name in wanted if name.endswith(".toml")]
    if not wanted:
        raise UsageError("no task is named; see: bench list tasks")
    return {**({source: names} if names else {}), **{file: list(file.tasks) for file in files}}


def load_task_file(path: Path) -> Source:
    """Return the source of the task that the TOML file ``path`` describes; UsageError says what is wrong."""
    tree = read_toml(path)
    try:
        described = build(TaskFile, tree, "task")
        task = described.task()
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    files = {}
    for split in task.rows:
        files[split] = file = path.parent / getattr(described.files, split)
        if not file.name.endswith(FORMATS):
            raise UsageError(f"{path}: {split} is {file.name}; known endings: {' '.join(FORMATS)}")
        if not file.is_file():
            raise UsageError(f"{path}: no such {split} file: {file}")
    return FileSource(task, files, described.quoting)
