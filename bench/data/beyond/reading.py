"""Reading an evaluation set: from the files that its authors give, in a local folder, or from the hub."""

from __future__ import annotations

import ast
import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.beyond.sets import EvaluationSet, Layout, described
from bench.data.tables import Table, read_csv, read_jsonl, read_parquet, read_table, read_text, read_tsv, to_examples
from bench.data.tasks import Example, Task
from bench.errors import BenchError, UsageError
from bench.files import digest


@dataclass(frozen=True)
class LoadedSet:
    """The rows of a set: labels are indices into ``classes``, those of the set, or scores.

    ``groups`` [rows] says to which groups each belongs, as "heuristic: lexical_overlap". ``fingerprint`` is 16 hex
    digits of the rows and of how they are scored; ``source`` says in words where they are from. ``official`` is how
    many rows the set has as published, of one's own how many it has before a sample is taken.
    """

    entry: EvaluationSet
    classes: tuple[str, ...]
    examples: list[Example]
    groups: list[tuple[str, ...]]
    fingerprint: str
    source: str
    variant: str = ""
    official: int | None = None


def load_set(entry: EvaluationSet, own: tuple[str, ...], folders: Sequence[Path], most: int | None = None) -> LoadedSet:
    """Return the rows of ``entry`` for models of the classes ``own``, at most ``most`` of them, a fixed sample.

    The first layout whose file is in one of ``folders`` is read, else the hub is asked, if it has the set. Raises
    BenchError, naming file and line, for rows that cannot be read, and UsageError where the set is not there.
    """
    classes = tuple(dict.fromkeys(entry.labels.values())) or own
    if (place := _place(entry, folders)) is not None:
        layout, first = place
        tables = [_table(entry, layout, path) for path in (first, *_more(first, layout))]
        return _loaded(entry, classes, tables, str(first), layout, most)
    if entry.hub:
        return _loaded(entry, classes, [_from_hub(entry)], f"hub {entry.hub['name']}", Layout((), "table"), most)
    looked = ", ".join(dict.fromkeys(name for layout in entry.files for name in layout.path))
    where = ", ".join(map(str, folders)) or "no folder was given"
    raise UsageError(
        f"the set {entry.name} is not there (looked in: {where}; for: {looked}); get it from {entry.url} and name the "
        f"folder that you put it in: --ood-dir DIR"
    )


def present(entry: EvaluationSet, folders: Sequence[Path]) -> Path | None:
    """Return where the rows of ``entry`` lie in one of ``folders``, or None."""
    place = _place(entry, folders)
    return None if place is None else place[1]


def _place(entry: EvaluationSet, folders: Sequence[Path]) -> tuple[Layout, Path] | None:
    for layout in entry.files:
        # The file of a set of one's own is named in full.
        for folder in [Path()] if Path(layout.path[0]).is_absolute() else folders:
            for name in layout.path:
                if (path := _there(folder, name)) is not None:
                    return layout, path
    return None


def _there(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def _more(first: Path, layout: Layout) -> list[Path]:
    paths = [first.parent.parent / name for name in layout.more]
    if missing := [path for path in paths if not path.is_file()]:
        raise UsageError(f"{first} is there, but not {missing[0]}, which goes on with its rows")
    return paths


def _table(entry: EvaluationSet, layout: Layout, path: Path) -> Table:
    """Return the rows of one file as a table, columns by name."""
    if layout.format == "table":
        return read_table(path, quoting=layout.quoting)
    if layout.format == "tsv":
        return read_tsv(path, layout.columns)
    if layout.format == "json":
        return _from_json(path, entry.key)
    if layout.format == "lines":
        return _from_lines(path, entry)
    if layout.format == "folders":
        return _from_folders(path, entry)
    return {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet}[layout.format](path)


def _from_json(path: Path, key: str) -> Table:
    """Return the list under ``key`` of one JSON object."""
    try:
        rows = json.loads(read_text(path))[key]
        columns = tuple(rows[0])
        cells = [(number, [row[name] for name in columns]) for number, row in enumerate(rows, 1)]
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{path}: not JSON, or cut off: {error}") from error
    except (KeyError, TypeError, IndexError) as error:
        raise BenchError(f"{path}: no rows of equal keys under {key!r} ({type(error).__name__}: {error})") from error
    return Table(f"{path}, {key}", columns, len(cells), cells, unit="row")


def _from_lines(path: Path, entry: EvaluationSet) -> Table:
    """Return lines of a label, a space and a text."""
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        label, space, text = line.rstrip("\r").partition(" ")
        if line and not space:
            raise BenchError(f"{path}:{number}: a label, a space and a text were expected, found {line[:40]!r}")
        if line:
            rows.append((number, [label, text]))
    return Table(str(path), (entry.label, *entry.texts), len(rows), rows)


def _from_folders(path: Path, entry: EvaluationSet) -> Table:
    """Return the texts of one file each, in a folder for each label."""
    rows: list[tuple[int, list[str]]] = []
    there = [label for label in sorted(entry.labels) if (path / label).is_dir()]
    if lost := {*entry.labels.values()} - {entry.labels[label] for label in there}:
        raise BenchError(f"{path} has no folder of the class {', '.join(sorted(lost))}: is it whole?")
    for label in there:
        for number, file in enumerate(sorted((path / label).glob("*.txt")), len(rows) + 1):
            rows.append((number, [label, read_text(file)]))
    return Table(str(path), (entry.label, *entry.texts), len(rows), rows, unit="file")


def _from_hub(entry: EvaluationSet) -> Table:
    """Return the rows of the hub's data set, class numbers by the names it gives them where it names them."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HTTPError

    name, config = entry.hub["name"], entry.hub.get("config")
    try:
        rows = load_dataset(name, config, split=entry.hub["split"])
        columns = rows.column_names
        cells = zip(*(rows[column] for column in columns), strict=True)
        numbered = [(number, list(row)) for number, row in enumerate(cells, 1)]
    except (OSError, ValueError, DatasetsError, HTTPError) as error:
        raise BenchError(
            f"cannot get the set {entry.name} from the hub ({name}): {error}; get it from {entry.url} and name the "
            f"folder that you put it in: --ood-dir DIR"
        ) from error
    return Table(f"{name} {entry.hub['split']}", tuple(columns), len(numbered), numbered, unit="row")


def _loaded(
    entry: EvaluationSet,
    classes: tuple[str, ...],
    tables: Sequence[Table],
    source: str,
    layout: Layout,
    most: int | None,
) -> LoadedSet:
    examples: list[Example] = []
    groups: list[tuple[str, ...]] = []
    reading = Task(entry.name, entry.title, entry.texts, classes, entry.metrics, {})
    if not entry.labels and not entry.is_regression:
        # As GLUE's files and most others number classes.
        reading = dataclasses.replace(reading, submission_labels=tuple(map(str, range(len(classes)))))
    for table in tables:
        kept = list(_rows(entry, layout, table))
        in_table = to_examples(
            Table(table.source, table.columns, len(kept), kept, table.unit),
            reading,
            entry.texts,
            entry.label,
            "required",
        )
        start = len(examples)
        examples += [Example(start + row.id, row.texts, row.label) for row in in_table]
        groups += _groups(entry, table, kept)
    official = entry.rows or len(examples)
    if most is not None and most < len(examples):
        chosen = np.sort(np.random.default_rng(0).permutation(len(examples))[:most])
        examples, groups = [examples[row] for row in chosen], [groups[row] for row in chosen]
    rows = [(row.id, row.texts, row.label) for row in examples]
    fingerprint = digest(described(entry), classes, rows)
    return LoadedSet(entry, classes, examples, groups, fingerprint, source, layout.variant, official)


def _rows(entry: EvaluationSet, layout: Layout, table: Table) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield the rows that count, their labels as the set's classes and their texts as texts."""
    label, texts = table.index(entry.label), [table.index(name) for name in entry.texts]
    where = [(table.index(column), value) for column, value in layout.where.items()]
    for number, cells in table.rows:
        if any(str(cells[place]) != value for place, value in where):
            continue
        row = list(cells)
        written = str(row[label])
        if written in entry.unlabelled:
            continue
        if entry.labels:
            if written not in entry.labels:
                raise BenchError(
                    f"{table.where(number)}: labels do not map: {entry.label} {written!r:.80} is none of "
                    f"{', '.join(entry.labels)}"
                )
            row[label] = entry.labels[written]
        if layout.byte_strings:
            for place in texts:
                row[place] = _text_of_bytes(row[place], table.where(number))
        yield number, row


def _text_of_bytes(cell: str, where: str) -> str:
    try:
        value = ast.literal_eval(cell)
        if not isinstance(value, bytes):
            raise ValueError("not bytes")
        return value.decode()
    except (ValueError, SyntaxError, UnicodeDecodeError) as error:
        raise BenchError(f"{where}: {cell[:40]!r} is no text written as b'…': {error}") from error


def _groups(entry: EvaluationSet, table: Table, rows: Sequence[tuple[int, Sequence[Any]]]) -> list[tuple[str, ...]]:
    places = [(name, table.index(name)) for name in entry.groups]
    return [
        tuple(
            f"{name}: {value.strip()}"
            for name, place in places
            for value in str(cells[place] if cells[place] is not None else "").split(";")
            if value.strip()
        )
        for _, cells in rows
    ]
