"""A user's own classification or regression task, described by a TOML file.

Keys (files are relative to the TOML file; their endings say the format):

    name = "reviews"                    # lower-case letters, digits, - and _
    title = "Shop reviews"              # optional, for tables
    texts = ["text"]                    # one or two text columns
    label = "rating"                    # label column; default "label"
    labels = ["bad", "good"]            # classes in order, written so or as 0, 1; leave out for regression
    metrics = ["accuracy", "f1"]        # default accuracy, or pearson and spearman
    score_range = [1, 5]                # optional, regression only
    quoting = false                     # optional: whether .tsv files use CSV quoting

    [files]
    train = "train.tsv"                 # .tsv .csv .jsonl (also .gz) or .parquet
    dev = "dev.tsv"
    test = "test.tsv"                   # optional; its labels may be missing
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.data.source import Source, TaskData
from bench.data.tables import FORMATS, Table, read_bytes, read_table, to_examples
from bench.data.tasks import CLASS_METRICS, GLUE, SCORE_METRICS, Task
from bench.errors import UsageError, unknown
from bench.toml import read_toml

_KEYS = ("name", "title", "texts", "label", "labels", "metrics", "score_range", "quoting", "files")
_SPLITS = ("train", "dev", "test")


class FileSource:
    """The one task of a task file."""

    name = "file"

    def __init__(self, task: Task, files: Mapping[str, Path], quoting: bool = False) -> None:
        self.tasks: Mapping[str, Task] = MappingProxyType({task.name: task})
        self._task, self._files, self._quoting = task, files, quoting

    def load(self, task: str) -> TaskData:
        """Return the splits the task file names; errors name the file and line."""
        self._known(task)
        spec = self._task
        splits = {
            split: to_examples(
                self._read(path),
                spec,
                spec.texts,
                spec.label_column,
                "optional" if split == "test" else "required",
            )
            for split, path in self._files.items()
        }
        return TaskData(spec, splits, self.name, self.fingerprint(task))

    def fingerprint(self, task: str) -> str:
        """Return the hash of the files, decompressed, and of how the task file reads them."""
        self._known(task)
        spec = self._task
        reading = (spec.texts, spec.label_column, spec.labels, spec.metrics, self._quoting)
        digest = hashlib.sha256(repr(reading).encode())
        for split, path in self._files.items():
            content = hashlib.sha256(read_bytes(path)).hexdigest()
            digest.update(f"{split} {content}\n".encode())
        return digest.hexdigest()[:16]

    def count(self, task: str) -> dict[str, int]:
        """Return the number of rows of every split."""
        self._known(task)
        return {split: self._read(path).size for split, path in self._files.items()}

    def _known(self, task: str) -> None:
        if task not in self.tasks:
            raise unknown("task", task, self.tasks)

    def _read(self, path: Path) -> Table:
        return read_table(path, quoting=self._quoting)


def by_source(wanted: Sequence[str], source: Source) -> dict[Source, list[str]]:
    """Return the tasks ``wanted`` under where their rows are: names with ``source``, each ``FILE.toml`` with itself."""
    names = [name for name in wanted if not name.endswith(".toml")]
    files = [load_task_file(Path(name)) for name in wanted if name.endswith(".toml")]
    if not wanted:
        raise UsageError("no task is named; see: bench list tasks")
    return {**({source: names} if names else {}), **{file: list(file.tasks) for file in files}}


def load_task_file(path: Path) -> Source:
    """Return the source of the task that the TOML file ``path`` describes; UsageError says what is wrong."""
    path = Path(path)
    given = _Keys(path, read_toml(path), _KEYS)
    name = given.text("name")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        given.fail(f"name is {name!r}; use lower-case letters, digits, - and _")
    if name in GLUE:
        given.fail(f"name is {name!r}, which is GLUE's; choose another")
    texts = given.texts("texts")
    if len(texts) not in (1, 2):
        given.fail(f"texts names {len(texts)} columns; one or two are possible")
    labels = given.texts("labels", ())
    if len(labels) == 1:
        given.fail("labels has one class; name at least two, or leave labels out for regression")
    known = CLASS_METRICS if labels else SCORE_METRICS
    metrics = given.texts("metrics", ("accuracy",) if labels else SCORE_METRICS)
    for metric in metrics:
        if metric not in known:
            kind = "classification" if labels else "regression"
            raise unknown(f"{kind} metric", metric, known, hint=f"(in {path})")
    files = given.files("files", _SPLITS)
    # Where a class's own name is a number, numbers in the files are names and nothing else.
    numbered = not any(label.lstrip("-").isdigit() for label in labels)
    task = Task(
        name=name,
        title=given.text("title", name),
        texts=texts,
        labels=labels,
        metrics=metrics,
        rows=MappingProxyType(dict.fromkeys(files)),
        label_column=given.text("label", "label"),
        submission_labels=tuple(str(index) for index in range(len(labels))) if numbered else labels,
        score_range=given.score_range("score_range", allowed=not labels),
    )
    return FileSource(task, files, given.flag("quoting"))


class _Keys:
    """The keys of a task file, each taken with its type checked."""

    def __init__(self, path: Path, table: dict[str, Any], known: tuple[str, ...]) -> None:
        self.path, self.table = path, table
        for key in table:
            if key not in known:
                raise unknown("key", key, known, hint=f"(in {path})")

    def fail(self, what: str) -> None:
        raise UsageError(f"{self.path}: {what}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.table.get(key, default)
        if value is None:
            raise UsageError(f"{self.path}: {key} is missing")
        if not isinstance(value, str) or not value:
            raise UsageError(f"{self.path}: {key} is {value!r}; a text in quotes was expected")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        value = self.table.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise UsageError(f'{self.path}: {key} is {value!r}; a list such as ["a", "b"] was expected')
        if len(set(value)) < len(value):
            raise UsageError(f"{self.path}: {key} names something twice: {', '.join(value)}")
        return tuple(value)

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise UsageError(f"{self.path}: {key} is {value!r}; true or false was expected")
        return value

    def score_range(self, key: str, allowed: bool) -> tuple[float, float] | None:
        value = self.table.get(key)
        if value is None:
            return None
        numbers = isinstance(value, list) and [type(item) in (int, float) for item in value] == [True, True]
        if not allowed or not numbers or not value[0] < value[1]:
            raise UsageError(f"{self.path}: {key} is {value!r}; [low, high] is possible, for regression only")
        return float(value[0]), float(value[1])

    def files(self, key: str, splits: tuple[str, ...]) -> dict[str, Path]:
        table = self.table.get(key)
        if not isinstance(table, dict):
            raise UsageError(f"{self.path}: the table [{key}] with train and dev is missing")
        for split in table:
            if split not in splits:
                raise unknown("split", split, splits, hint=f"(in {self.path})")
        found = {}
        names = _Keys(self.path, table, splits)
        for split in splits:
            if split not in table and split == "test":
                continue
            file = self.path.parent / names.text(split)
            if not file.name.endswith(FORMATS):
                raise UsageError(f"{self.path}: {split} is {file.name}; known endings: {' '.join(FORMATS)}")
            if not file.is_file():
                raise UsageError(f"{self.path}: no such {split} file: {file}")
            found[split] = file
        return found
