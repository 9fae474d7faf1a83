"""The cells of a sweep that wait for their turn: which comes next, and how much work is left."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.experiment.launch import CellJob

Place = tuple[int, str]
"""Where cells share a teacher: what they are assembled from, by its identity, and the task."""


def place(job: CellJob) -> Place:
    """Return where ``job`` runs."""
    return id(job.parts), job.cell.task.name


class Remaining:
    """Cells that are still to run, counted by place and strategy: iterating yields (one of them, all their updates).

    Cells of one kind are estimated alike, so a sweep of a hundred thousand has as many kinds as one of a hundred.
    """

    def __init__(self, jobs: Iterable[CellJob] = ()) -> None:
        self._kinds: dict[tuple[Place, str], tuple[CellJob, int]] = {}
        self._cells = Counter[tuple[Place, str]]()
        for job in jobs:
            self.add(job)

    def add(self, job: CellJob) -> None:
        """Count ``job``."""
        kind = (place(job), str(job.cell.strategy))
        self._kinds[kind] = (job, self._kinds[kind][1] + job.updates if kind in self._kinds else job.updates)
        self._cells[kind] += 1

    def remove(self, job: CellJob) -> None:
        """Count ``job`` no longer."""
        kind = (place(job), str(job.cell.strategy))
        one, updates = self._kinds[kind]
        self._cells[kind] -= 1
        if self._cells[kind]:
            self._kinds[kind] = (one, updates - job.updates)
        else:
            del self._kinds[kind]

    def __iter__(self) -> Iterator[tuple[CellJob, int]]:
        return iter([*self._kinds.values()])


class Queue:
    """The cells still to run, and which of them may run now; each step takes about as long for many as for few."""

    def __init__(self, jobs: Sequence[CellJob]) -> None:
        self.jobs, self.unfinished, self.remaining = jobs, set(range(len(jobs))), Remaining(jobs)
        self._ready: dict[Place, list[tuple[int, int]]] = {}
        self._elsewhere, self._busy_elsewhere = deque[int](), set[int]()
        self._running, self._prepared = Counter[Place](), set[Place]()
        self._blockers, self._blocks = dict[int, set[int]](), dict[int, list[int]]()
        compared = {number: cells for number, job in enumerate(jobs) if (cells := job.cell.compared())}
        numbers = {job.cell.id: number for number, job in enumerate(jobs)} if compared else {}
        for number, cells in compared.items():
            if blockers := {numbers[cell.id] for cell in cells if cell.id in numbers}:
                self._blockers[number] = blockers
                for one in blockers:
                    self._blocks.setdefault(one, []).append(number)
        for number in range(len(jobs)):
            if number not in self._blockers:
                self._push(number)

    def next(self) -> int | None:
        """Take the number of the next cell; None where what is left has to wait for cells that run.

        Of a task whose teacher is being trained for another cell none is taken while there are other tasks. Tasks
        without a teacher come first, and long cells before short ones, so that no process is long alone at the end.
        Cells that another command runs come last.
        """
        if self._ready:

            def order(where: Place) -> tuple[bool, bool, tuple[int, int]]:
                prepared = where in self._prepared
                return bool(self._running[where]) and not prepared, prepared, self._ready[where][0]

            first = min(self._ready, key=order)
            _, number = heapq.heappop(self._ready[first])
            if not self._ready[first]:
                del self._ready[first]
        elif self._elsewhere:
            number = self._elsewhere.popleft()
        else:
            return None
        self._running[place(self.jobs[number])] += 1
        self.remaining.remove(self.jobs[number])
        return number

    def later(self, number: int) -> None:
        """Put back a cell that another command is running: it is waited for when nothing else is left."""
        self._put_back(number)
        self._elsewhere.append(number)
        self._busy_elsewhere.add(number)

    def again(self, number: int) -> None:
        """Put back a cell whose machine was lost."""
        self._put_back(number)
        self._push(number)

    def waits(self, number: int) -> bool:
        """Return whether a cell that another command is running is waited for now."""
        return number in self._busy_elsewhere

    def done(self, number: int) -> None:
        """Take note that the cell has a record."""
        self.unfinished.remove(number)
        where = place(self.jobs[number])
        self._running[where] -= 1
        self._prepared.add(where)
        for blocked in self._blocks.get(number, ()):
            self._blockers[blocked].discard(number)
            if not self._blockers[blocked]:
                self._push(blocked)

    def _put_back(self, number: int) -> None:
        self._running[place(self.jobs[number])] -= 1
        self.remaining.add(self.jobs[number])

    def _push(self, number: int) -> None:
        job = self.jobs[number]
        heapq.heappush(self._ready.setdefault(place(job), []), (-job.updates, number))
