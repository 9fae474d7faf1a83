"""The mini suite as a source of tasks: GLUE's nine tasks in miniature."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType

from bench.data.mini.suite import TASKS, VERSION, generate, sizes
from bench.data.source import TaskData
from bench.data.tasks import GLUE, Task
from bench.errors import unknown


def _task(name: str) -> Task:
    return replace(
        GLUE[name],
        title=f"mini {GLUE[name].title}",
        about=TASKS[name]["about"],
        rows=sizes(name),
        submission_labels=(),
        majority_is_hard=False,
    )


class MiniSource:
    """The nine generated tasks; the same ``seed`` gives the same rows on every machine."""

    name = "mini"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.tasks: Mapping[str, Task] = MappingProxyType({name: _task(name) for name in TASKS})

    def load(self, task: str) -> TaskData:
        """Return every split of ``task``: train, dev, test (without labels), and MNLI's mismatched ones."""
        spec = self._known(task)
        splits = {split: list(rows) for split, rows in generate(task, self.seed).items()}
        return TaskData(spec, splits, self.name, self.fingerprint(task))

    def fingerprint(self, task: str) -> str:
        """Return 16 hex digits of the generator's version, the seed and every row of ``task``."""
        self._known(task)
        return _fingerprint(task, self.seed)

    def count(self, task: str) -> dict[str, int]:
        """Return the number of rows of every split of ``task``."""
        self._known(task)
        return sizes(task)

    def _known(self, task: str) -> Task:
        if task not in self.tasks:
            raise unknown("task", task, self.tasks)
        return self.tasks[task]


@cache
def _fingerprint(task: str, seed: int) -> str:
    digest = hashlib.sha256(f"mini {VERSION} {seed} {task}\n".encode())
    for split, rows in generate(task, seed).items():
        content = "\n".join("\t".join((*row.texts, str(row.label))) for row in rows)
        digest.update(f"{split}\n{content}\n".encode())
    return digest.hexdigest()[:16]
