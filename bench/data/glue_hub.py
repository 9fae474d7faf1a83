"""GLUE from the Hugging Face hub (``nyu-mll/glue``), and data sets in the hub's columns and splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bench.data.source import TaskData
from bench.data.tables import Table, to_examples
from bench.data.tasks import GLUE, Example, Task
from bench.errors import BenchError, unknown

_SPLITS = {
    "train": "train",
    "validation": "dev",
    "validation_matched": "dev",
    "validation_mismatched": "dev_mismatched",
    "test": "test",
    "test_matched": "test",
    "test_mismatched": "test_mismatched",
}


class HubSource:
    """GLUE through ``datasets.load_dataset(dataset, task)``, with the user's cache and offline switches.

    ``dataset`` is a name on the hub, or a local folder laid out like one. A test split's examples have
    label None whatever the data set holds.
    """

    name = "hub"
    tasks: Mapping[str, Task] = GLUE

    def __init__(self, dataset: str = "nyu-mll/glue") -> None:
        self.dataset = dataset
        self._fingerprints: dict[str, str] = {}

    def load(self, task: str) -> TaskData:
        """Return every split of ``task``; BenchError says what to do where the hub is out of reach."""
        data, spec = self._dataset(task), self.tasks[task]
        splits = dataset_examples(data, spec, f"{self.dataset} {task}")
        if task not in self._fingerprints:
            self._fingerprints[task] = _content_hash(splits)
        return TaskData(spec, splits, self.name, self._fingerprints[task])

    def fingerprint(self, task: str) -> str:
        """Return the hash of the examples; the first call for a task loads it."""
        if task not in self._fingerprints:
            self.load(task)
        return self._fingerprints[task]

    def count(self, task: str) -> dict[str, int]:
        """Return the number of rows of every split."""
        splits = canonical_splits(self._dataset(task), self.tasks[task], f"{self.dataset} {task}")
        return {split: len(rows) for split, rows in splits.items()}

    def _dataset(self, task: str) -> Mapping[str, Any]:
        if task not in self.tasks:
            raise unknown("task", task, self.tasks)
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError

        # The hub's client changed its HTTP library twice; this is the failure of whichever it uses.
        from huggingface_hub.errors import HTTPError

        try:
            if (why := self._out_of_reach(task)) is not None:
                raise OSError(why)
            return load_dataset(self.dataset, task)
        except (OSError, ValueError, DatasetsError, HTTPError) as error:
            raise BenchError(
                f"cannot get {task} of {self.dataset} from the hub: {error}; "
                "read GLUE from a folder with --data-dir DIR, or use the embedded suite with --preset mini"
            ) from error

    def _out_of_reach(self, task: str) -> str | None:
        """Return why the hub, which has to be asked for ``task``, cannot be: the library itself tries for 15 s."""
        from datasets import config

        from bench.models.hub import unreachable

        there = Path(config.HF_DATASETS_CACHE, self.dataset.replace("/", "___"), task)
        return None if config.HF_HUB_OFFLINE or Path(self.dataset).is_dir() or there.is_dir() else unreachable()


def read_saved(folder: Path) -> Mapping[str, Any]:
    """Return the ``DatasetDict`` that ``save_to_disk`` wrote to ``folder``."""
    from datasets import load_from_disk

    try:
        return load_from_disk(str(folder))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        # The last three for JSON of another shape than the library writes.
        raise BenchError(f"{folder} is not a readable saved data set: {error}; save it again") from error


def canonical_splits(data: Mapping[str, Any], task: Task, where: str) -> dict[str, Any]:
    """Return the rows of every split under this project's split names; the required ones must be there.

    Splits that GLUE does not have are left out.
    """
    splits: dict[str, Any] = {}
    for name, rows in data.items():
        split = _SPLITS.get(name)
        if split in splits:
            raise BenchError(f"{where}: two splits are the {split} set; splits found: {', '.join(data)}")
        if split:
            splits[split] = rows
    missing = [split for split in task.required_splits if split not in splits]
    if missing:
        raise BenchError(f"{where} has no {missing[0]} split; splits found: {', '.join(data)}")
    return splits


def dataset_examples(data: Mapping[str, Any], task: Task, where: str) -> dict[str, list[Example]]:
    """Return the examples of every split of a ``DatasetDict`` with the hub's columns.

    Class numbers are translated through the data set's own class names, so a data set that numbers them
    in another order gives the same examples; numbers without names are taken only where GLUE itself
    writes numbers.
    """
    splits = {}
    for split, rows in canonical_splits(data, task, where).items():
        labelled = not split.startswith("test")
        table = _table(rows, task, f"{where}, {split}", labelled)
        labels: Literal["required", "none"] = "required" if labelled else "none"
        splits[split] = to_examples(table, task, task.texts, task.label_column, labels)
    return splits


def _table(rows: Any, task: Task, where: str, labelled: bool) -> Table:
    wanted = [*task.texts, *([task.label_column] if labelled else [])]
    names = [name for name in wanted if name in rows.column_names]
    if len(names) < len(wanted):
        return Table(where, tuple(rows.column_names), len(rows), (), unit="row")
    columns = rows.select_columns(names)[:]
    class_names = getattr(rows.features.get(task.label_column), "names", None)
    if labelled and class_names:
        numbers = columns[task.label_column]
        columns[task.label_column] = [_class_name(number, class_names) for number in numbers]
    cells = zip(*(columns[name] for name in names), strict=True)
    return Table(where, tuple(names), len(rows), enumerate(cells, start=1), unit="row")


def _class_name(number: int | None, names: list[str]) -> str:
    """Return the class's name; -1 (unlabelled) and None come back as they are, to be refused by name."""
    return str(number) if number is None or not 0 <= number < len(names) else names[number]


def _content_hash(splits: Mapping[str, list[Example]]) -> str:
    digest = hashlib.sha256()
    for split, examples in splits.items():
        digest.update(f"{split}\n".encode())
        for example in examples:
            digest.update(f"{example.texts!r} {example.label!r}\n".encode())
    return digest.hexdigest()[:16]
