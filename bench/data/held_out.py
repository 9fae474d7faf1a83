"""A source whose rows to train on are split in two: a part held out, in the place of dev, and the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from bench.data.source import Source, TaskData
from bench.data.tasks import Example, Task
from bench.errors import UsageError
from bench.files import digest

SHARE, LEAST, MOST = 0.1, 100, 2000
"""Of the rows to train on, the share held out; how many at least (at most half of all rows), and at most."""


class HeldOut:
    """The tasks of ``source``: ``train`` without the rows held out, ``dev`` these rows. Dev and test are never read.

    Which rows are held out follows from their texts alone, and rows of the same texts go together, so that none is
    on both sides. Models that are trained on texts of the source (tokenizer, generator) do not see them either.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.name = source, source.name
        self.tasks: Mapping[str, Task] = {name: task for name, task in source.tasks.items() if task.trained_on is None}
        self.load = lru_cache(maxsize=1)(self._load)

    def __reduce__(self) -> tuple[type[HeldOut], tuple[Source]]:
        """Another process splits the rows itself, and keeps its own."""
        return HeldOut, (self.source,)

    def _load(self, task: str) -> TaskData:
        """Return ``task`` with its train split in two; UsageError where there are not two rows of different texts."""
        data = self.source.load(task)
        train, held = split(data.splits["train"])
        if not train or not held:
            raise UsageError(f"{task} has too few different rows to hold some out: nothing to tune on")
        return TaskData(data.task, {"train": train, "dev": held}, data.source, self.fingerprint(task))

    def fingerprint(self, task: str) -> str:
        """Return 16 hex digits that change with the rows of ``task`` and with how they are split."""
        return digest(self.source.fingerprint(task), SHARE, LEAST, MOST)

    def count(self, task: str) -> dict[str, int]:
        """Return about how many rows the two splits have: repeated texts may move a few from one to the other."""
        rows = self.source.count(task)["train"]
        return {"train": rows - _wanted(rows), "dev": _wanted(rows)}


def _wanted(rows: int) -> int:
    return min(rows // 2, MOST, max(LEAST, math.ceil(SHARE * rows)))


def split(rows: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Return the rows to train on and those held out, both in their order: the first by the digest of their texts."""
    order = {texts: digest(*texts) for texts in {row.texts for row in rows}}
    ranked = sorted(rows, key=lambda row: order[row.texts])
    wanted = _wanted(len(rows))
    held = {row.texts for row in ranked[:wanted]}
    return [row for row in rows if row.texts not in held], [row for row in rows if row.texts in held]
