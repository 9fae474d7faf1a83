"""Where rows come from: what every source offers, opening one, and listing what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bench.data.tasks import Example, Task


@dataclass(frozen=True)
class TaskData:
    """The rows of one task: ``splits`` maps train, dev, dev_mismatched, test, test_mismatched to examples.

    ``source`` is "mini", "folder", "hub" or "file"; ``fingerprint`` is 16 hex digits of the content.
    """

    task: Task
    splits: dict[str, list[Example]]
    source: str
    fingerprint: str

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows of every split found."""
        return {split: len(examples) for split, examples in self.splits.items()}


class Source(Protocol):
    """A place that tasks can be loaded from."""

    name: str
    tasks: Mapping[str, Task]

    def load(self, task: str) -> TaskData:
        """Return every split of ``task`` that is there; train and dev must be (AX: test)."""
        ...

    def fingerprint(self, task: str) -> str:
        """Return 16 hex digits that change with the content of ``task``."""
        ...

    def count(self, task: str) -> dict[str, int]:
        """Return the number of rows of every split of ``task`` that is there."""
        ...


def doubts(data: TaskData) -> list[str]:
    """Return in words what makes scores on ``data`` mean little, though it can be trained on."""
    reasons, train = [], data.splits.get("train", [])
    for split in ("train", "dev"):
        rows = data.splits.get(split, [])
        if len(rows) == 1:
            reasons.append(f"{split} has one row")
        elif rows and len({row.label for row in rows}) == 1:
            reasons.append(f"every row of {split} has the label {data.task.label_name(rows[0].label)}")
    seen = {row.texts for row in train}
    dev = [row.texts in seen for row in data.splits.get("dev", [])]
    if dev and sum(dev) >= len(dev) / 2:
        also = f"{sum(dev):,} of {len(dev):,} dev rows are also in train"
        reasons.append(f"the texts of {also}: scores say how well they are remembered")
    return reasons


def differences(task: Task, rows: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return {split: (number of rows, official number)} of the splits where the two differ."""
    return {
        split: (count, official)
        for split, count in rows.items()
        if (official := task.rows.get(split)) is not None and official != count
    }
