"""The strategies ``file:PATH``: texts or rows made by any other tool, read from a table."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, make_dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench import Batch, Context, Models, Rewriter, Strategy, View, option
from bench.errors import BenchError, UsageError, quoted
from bench.resources import file
from strategies.catalogues import Member

if TYPE_CHECKING:
    from bench import Example, Resource, Task
    from bench.observer import Observer
    from bench.rewriter import Forms, Reads

TASK = "{task}"
_MOST_DIGITS = 20
_BE = ("is", "are")


@dataclass(kw_only=True)
class FileRows(Member, Strategy, Rewriter):
    """Texts or rows that any other tool made, from a table (.tsv, .csv, .jsonl or .parquet, with a header).

    Written file:PATH; {task} in PATH stands for the task's name: file:made/{task}.tsv. The teacher labels the rows; a
    training step sees one form of each training row. The file's content is part of what a run is known by.

    With a column ``id`` each row of the file is a form of the training row of that number, counted from 0 in the order
    of the training data; several rows of one number are several forms, and a training row without one is an error.
    With id=none they are rows that belong to no training row, and are dealt out to the steps in turn.
    """

    path: ClassVar[str] = "PATH"
    by_id = True

    id: str | None = option("id", "the column of the training row's number; none: the rows belong to no training row")
    columns: tuple[str, ...] = option(
        (), "the columns of the texts; empty: NAME_augmented, or else NAME, for each text NAME of the task"
    )
    quoting: bool = option(False, "whether a .tsv is quoted as .csv is")

    def place(self, task: Task) -> str:
        """Return the path of the file for ``task``."""
        return self.path.replace(TASK, task.name)

    def supports(self, task: Task) -> str | None:
        if TASK in self.path and not self._is_there(task):
            return f"there is no file {self.place(task)}"
        if self.columns and len(self.columns) != len(task.texts):
            raise UsageError(
                f"{self.name}.columns names {len(self.columns)} columns ({', '.join(self.columns)}), but {task.name} "
                f"has {len(task.texts)}: {', '.join(task.texts)}"
            )
        if self._is_there(task):
            self._made(task)  # what is wrong with it is said before anything is trained
        return None

    def resources(self) -> Sequence[Resource]:
        if TASK in self.path:
            return ()
        return (file(self.path, "your own tool (or name a table that is there)", f"the table {self.path}"),)

    def files(self, task: Task) -> tuple[str, ...]:
        return (self.place(task),)

    def reads(self) -> tuple[Reads, ...]:
        return ("texts",)

    def prepare(self, examples: Sequence[Example], context: Context, observer: Observer) -> None:
        made, _ = self._made(context.task)
        place, rows = self.place(context.task), sum(map(len, made.values()))
        repeats = sum(len(forms) - len(set(forms)) for forms in made.values())
        if repeats:
            whose = "" if self.id is None else " of the same number"
            observer.note(f"{place}: {repeats:,} of {rows:,} rows repeat another{whose}")
        strange = 0 if self.id is None else rows - sum(len(made.get(number, ())) for number in {*context.ids})
        if strange:
            observer.note(f"{place}: {strange:,} of {rows:,} rows are of no training row here, and are left out")

    def rewrite(self, examples: Sequence[Example], rngs: Sequence[random.Random], context: Context) -> list[Forms]:
        from bench.rewriter import dealt

        made, most = self._made(context.task)
        if self.id is None:
            return dealt(made[None], examples, context)
        if any(example.id not in made for example in examples):
            lacking = [id for id in context.ids if id not in made]
            numbers = sorted(made)
            raise BenchError(
                f"{self.place(context.task)}: {len(lacking):,} of {len(context.ids):,} training rows have no row here, "
                f"for example number {lacking[0]}; its column {self.id!r} has {len(made):,} numbers, from {numbers[0]} "
                f"to {numbers[-1]}, and training rows are counted from 0; for rows that belong to none: [id=none]"
            )
        # Rows with fewer forms than others repeat theirs in turn.
        return [[(own := made[example.id])[n % len(own)] for n in range(most)] for example in examples]

    def _is_there(self, task: Task) -> bool:
        return os.path.isfile(os.path.expanduser(self.place(task)))  # also false for a name no file can have

    def _made(self, task: Task) -> tuple[dict[Any, Forms], int]:
        from bench.files import file_digest

        path = Path(self.place(task)).expanduser()
        if not self._is_there(task):
            raise UsageError(f"no such file: {quoted(str(path))}")
        return _read(path, file_digest(path), task.texts, self.columns, self.id, self.quoting)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        from bench.text_strategy import one_form

        yield from one_form(batch.rewritten_by(self), batch, models)


@lru_cache(maxsize=2)
def _read(
    path: Path, content: str, texts: tuple[str, ...], columns: tuple[str, ...], id: str | None, quoting: bool
) -> tuple[dict[Any, Forms], int]:
    """Return the rows of the file by their number, and how many have the same at most; ``content`` is its digest.

    Without a column ``id`` all are under None.

    Raises BenchError, naming the place, for a column that is missing, a number or a text that is none.
    """
    from bench.data.tables import read_table

    table = read_table(path, quoting=quoting)
    names = columns or tuple(f"{name}_augmented" if f"{name}_augmented" in table.columns else name for name in texts)
    sides = [table.index(name) for name in names]
    try:
        number = None if id is None else table.index(id)
    except BenchError as error:
        raise BenchError(f"{error}; name another, or none for rows that belong to no training row: [id=…]") from error
    made: dict[Any, Forms] = {}
    for line, cells in table.rows:
        row = tuple([cells[side] for side in sides])
        for name, text in zip(names, row, strict=True):
            if not isinstance(text, str):
                raise BenchError(f"{table.where(line)}: {name} is not a text but {text!r:.80}")
        if not any(text.strip() for text in row):
            raise BenchError(
                f"{table.where(line)}: {' and '.join(names)} {_BE[len(names) > 1]} empty; leave the row out"
            )
        made.setdefault(None if number is None else _number(cells[number], table.where(line), id), []).append(row)
    if not made:
        raise BenchError(f"{path} has no rows")
    return made, max(map(len, made.values()))


def _number(cell: Any, where: str, column: str | None) -> int:
    """Return the number in ``cell``: a whole one, as text in digits alone, and no less than 0."""
    if isinstance(cell, str) and cell.strip().isdecimal() and len(cell) < _MOST_DIGITS:
        return int(cell)
    if isinstance(cell, int | float) and not isinstance(cell, bool) and cell >= 0 and cell % 1 == 0:
        return int(cell)
    raise BenchError(f"{where}: {column} {quoted(cell)} is not the number of a training row")


class FileFamily:
    """The family: a strategy class for each path."""

    missing: str | None = None

    def members(self) -> Sequence[str]:
        """Return what stands for all paths."""
        return [FileRows.path]

    documented = members

    @cache  # noqa: B019 - there is one such family, and a class must stay the same class
    def load(self, member: str) -> type[Strategy]:
        """Return the class of strategies that read the file ``member``."""
        namespace = {
            "__doc__": FileRows.__doc__,
            "__module__": __name__,
            "path": member,
            "name": f"file:{member}",
        }
        return make_dataclass("FileRows", (), bases=(FileRows,), namespace=namespace, kw_only=True)


FAMILY = FileFamily()
