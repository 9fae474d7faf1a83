"""Tables: reading and writing TSV, CSV, JSON lines and parquet, and turning rows into a task's examples."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from bench.data.tasks import Example, Task
from bench.errors import BenchError, UsageError
from bench.files import whole_file


@dataclass(frozen=True)
class Table:
    """Rows under named columns. ``rows`` yields (line or row number, cells) and can be read once."""

    source: str
    columns: tuple[str, ...]
    size: int
    rows: Iterable[tuple[int, Sequence[Any]]]
    unit: str = "line"

    def where(self, number: int) -> str:
        """Return the place of a row as a person looks it up: ``file:line``, or the row of a data set."""
        return f"{self.source}:{number}" if self.unit == "line" else f"{self.source}, {self.unit} {number}"

    def index(self, column: str) -> int:
        """Return the position of ``column``; BenchError names what was found instead."""
        if self.columns.count(column) == 1:
            return self.columns.index(column)
        trouble = "occurs more than once" if column in self.columns else "is missing"
        columns = shortened(", ".join(self.columns))
        raise BenchError(f"{self.source}: column {column!r} {trouble}; columns found: {columns}")


def shortened(text: str, most: int = 300) -> str:
    """Return ``text``, without its middle where it is longer than an error's line should be."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


FORMATS = (".tsv", ".csv", ".jsonl", ".tsv.gz", ".csv.gz", ".jsonl.gz", ".parquet")
"""The endings of the files that ``read_table`` reads."""


WRITTEN = (".parquet", ".tsv", ".csv", ".jsonl")
"""The endings of the files that ``write_table`` writes."""


def read_table(path: Path, *, quoting: bool = False, only: Collection[str] | None = None) -> Table:
    """Return the table of a file with a header, read as its ending says.

    ``quoting``: a .tsv is quoted like CSV. ``only``: cells of other columns need not be read, and are then None.
    """
    name = path.name.removesuffix(".gz")
    if not path.name.endswith(FORMATS):
        raise UsageError(f"{path} is no table: known endings are {' '.join(FORMATS)}")
    if name.endswith(".csv"):
        return read_csv(path)
    if name.endswith(".tsv"):
        return read_csv(path, "\t") if quoting else read_tsv(path)
    return read_jsonl(path) if name.endswith(".jsonl") else read_parquet(path, only)


def read_bytes(path: Path) -> bytes:
    """Return the content of ``path``, decompressed if it is gzip (told by its first bytes, not its name)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}") from None
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from error
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise BenchError(f"{path} is damaged gzip data ({error}); fetch the file again") from error


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte-order mark."""
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte {data[error.start]:#04x}"
        raise BenchError(f"{path}:{line}: {byte} is not UTF-8; save the file as UTF-8") from error


def read_tsv(path: Path, headerless: tuple[str, ...] = ()) -> Table:
    r"""Return the table of a tab-separated file without quoting: a ``"`` is an ordinary character.

    Only ``\n`` and ``\r\n`` end a line; GLUE's texts contain other characters that ``str.splitlines``
    would break at. ``headerless`` names the columns of a file that has no header: it is used where the
    last of those names is not in the first line.
    """
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise BenchError(f"{path} is empty")
    if "\r" in lines[0]:
        raise BenchError(f"{path}: its lines end in carriage returns alone; save it with line feeds (\\n)")
    first = tuple(cell.strip() for cell in lines[0].split("\t"))
    has_header = not headerless or headerless[-1] in first
    columns, start = (first, 1) if has_header else (headerless, 0)
    return Table(str(path), columns, len(lines) - start, _split(path, lines, start, columns))


def _split(path: Path, lines: list[str], start: int, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    # Lazily: the official MNLI has eight columns of parses a row that are dropped at once.
    tabs = len(columns) - 1
    for position in range(start, len(lines)):
        cells = lines[position].split("\t")
        if len(cells) != tabs + 1:
            wrong = sum(line.count("\t") != tabs for line in lines[start:])
            raise BenchError(
                f"{path}:{position + 1}: {len(cells)} columns, but {tabs + 1} expected "
                f"({shortened(', '.join(columns))}); {_rows(wrong)} of this file like that: repair or delete"
            )
        yield position + 1, cells


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def read_csv(path: Path, delimiter: str = ",") -> Table:
    """Return the table of a CSV file with a header and standard quoting (cells may hold line ends)."""
    import csv
    import io

    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, Sequence[Any]]] = []
    columns: tuple[str, ...] = ()
    line = 1
    limit = csv.field_size_limit(max(len(text), 1))  # of every reader in the process, by default 131,072 characters
    try:
        for cells in reader:
            if not columns:
                columns = tuple(cell.strip() for cell in cells)
            elif cells and len(cells) != len(columns):
                raise BenchError(
                    f"{path}:{line}: {len(cells)} columns, but {len(columns)} expected "
                    f"({shortened(', '.join(columns))})"
                )
            elif cells:
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BenchError(f"{path}:{line}: {error}") from error
    finally:
        csv.field_size_limit(limit)
    if not columns:
        raise BenchError(f"{path} is empty")
    return Table(str(path), columns, len(rows), rows)


def read_jsonl(path: Path) -> Table:
    """Return the table of a file with one JSON object per line; its columns are the first object's keys."""
    import json

    columns: tuple[str, ...] = ()
    rows: list[tuple[int, Sequence[Any]]] = []
    for number, line in enumerate(read_text(path).replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if "\\u" in line:
                json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise BenchError(f"{path}:{number}: {half} is half of a character; write the text anew as UTF-8") from error
        except (ValueError, RecursionError) as error:
            # Not JSON, a number of thousands of digits, or brackets within thousands of brackets.
            raise BenchError(f"{path}:{number}: not JSON: {shortened(str(error))}") from error
        if not isinstance(record, dict):
            raise BenchError(f"{path}:{number}: an object was expected, found {type(record).__name__}")
        columns = columns or tuple(record)
        missing = [name for name in columns if name not in record]
        if missing:
            raise BenchError(
                f"{path}:{number}: key {missing[0]!r} is missing; keys found: {shortened(', '.join(record))}"
            )
        rows.append((number, [record[name] for name in columns]))
    if not rows:
        raise BenchError(f"{path} is empty")
    return Table(str(path), columns, len(rows), rows)


def read_parquet(path: Path, only: Collection[str] | None = None) -> Table:
    """Return the table of a parquet file; of columns that are not among ``only``, no cell is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            table = file.read(columns=[name for name in names if only is None or name in only])
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}") from None
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a name that is no UTF-8
        raise BenchError(f"{path} is not readable as parquet: {error}") from error
    cells: dict[str, Iterable[Any]] = dict.fromkeys(names, [None] * table.num_rows)
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            cells[name] = column.to_pylist()
        except (ValueError, OverflowError) as error:
            # Bytes that are not UTF-8 where a text should be; a date that Python has none for.
            raise BenchError(f"{path}: column {name!r} cannot be read: {error}") from error
    rows = zip(*(cells[name] for name in names), strict=True)
    return Table(str(path), tuple(names), table.num_rows, enumerate(rows, start=1), unit="row")


def write_table(
    path: Path,
    columns: Mapping[str, Sequence[Any]],
    types: Mapping[str, Any] | None = None,
    *,
    quoting: bool = False,
) -> None:
    """Write ``columns``, all equally long, to ``path`` at once or not at all: .parquet, .tsv, .csv or .jsonl.

    ``types`` are the Arrow types of columns in a parquet file (or their names); the others' are found out. In .csv
    and .tsv None is an empty cell. A .tsv is quoted as CSV is with ``quoting``, else written as ``read_tsv`` reads it.

    Raises:
        UsageError: Another ending.
        BenchError: The content cannot be written so, or the file cannot be written.
    """
    if path.suffix not in WRITTEN:
        raise UsageError(f"cannot write {path}: known endings are {' '.join(WRITTEN)}")
    try:
        with whole_file(path) as part:
            if path.suffix == ".parquet":
                _write_parquet(part, columns, types or {})
                return
            with part.open("w", encoding="utf-8", newline="") as file:
                if path.suffix == ".jsonl":
                    _write_jsonl(file, columns)
                elif path.suffix == ".tsv" and not quoting:
                    _write_tsv(file, columns)
                else:
                    _write_csv(file, columns, "\t" if path.suffix == ".tsv" else ",")
    except ValueError as error:
        raise BenchError(f"cannot write {path}: {error}") from error


def _write_parquet(path: Path, columns: Mapping[str, Sequence[Any]], types: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values, type=types.get(name))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"column {name!r}: {error}; a .jsonl takes values of any kind") from error
    pq.write_table(pa.table(arrays), path)


def _write_jsonl(file: IO[str], columns: Mapping[str, Sequence[Any]]) -> None:
    import json

    for row in zip(*columns.values(), strict=True):
        file.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False, default=str) + "\n")


def _write_csv(file: IO[str], columns: Mapping[str, Sequence[Any]], delimiter: str) -> None:
    import csv

    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))


def _write_tsv(file: IO[str], columns: Mapping[str, Sequence[Any]]) -> None:
    file.write("\t".join(columns) + "\n")
    for number, row in enumerate(zip(*columns.values(), strict=True), start=1):
        cells = ["" if value is None else str(value) for value in row]
        for name, cell in zip(columns, cells, strict=True):
            if not {"\t", "\n"}.isdisjoint(cell) or cell.endswith("\r"):
                raise ValueError(
                    f"{name!r} of row {number} holds a tab or a line end, {cell!r:.80}; a .parquet can hold it"
                )
        file.write("\t".join(cells) + "\n")


def column_types(path: Path) -> dict[str, Any]:
    """Return the Arrow types of a parquet file's columns."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    return dict(zip(schema.names, schema.types, strict=True))


def to_examples(
    table: Table,
    task: Task,
    texts: tuple[str, ...],
    label: str,
    labels: Literal["required", "optional", "none"],
) -> list[Example]:
    """Return the rows of ``table`` as examples with ids 0..n-1.

    Args:
        table: What was read.
        task: Gives the classes (by name, or as GLUE's files write them) or the score's range.
        texts: Columns of the texts, in the task's order.
        label: Column of the label.
        labels: "required": every row has one; "optional": the column or a cell may be empty (label
            None); "none": labels are not even looked at.

    Raises:
        BenchError: A column is missing, a label is not allowed, or there is no row.
    """
    text_columns = [table.index(name) for name in texts]
    present = labels == "required" or (labels == "optional" and label in table.columns)
    label_column = table.index(label) if present else None
    parse = _label_parser(task)
    examples: list[Example] = []
    for number, cells in table.rows:
        row = tuple([cells[column] for column in text_columns])
        for name, text in zip(texts, row, strict=True):
            if not isinstance(text, str):
                raise BenchError(f"{table.where(number)}: {name} is not a text but {shortened(repr(text))}")
        value: int | float | None = None
        if label_column is not None:
            cell = cells[label_column]
            if labels == "required" or cell not in (None, ""):
                try:
                    value = parse(cell)
                except ValueError as error:
                    place = table.where(number)
                    raise BenchError(f"{place}: {label} {shortened(repr(cell))} is not allowed; {error}") from None
        examples.append(Example(len(examples), row, value))
    if not examples:
        raise BenchError(f"{table.source} has no rows")
    return examples


def _label_parser(task: Task) -> Callable[[Any], int | float]:
    """Return what turns a cell into a label; its ValueError says what is allowed."""
    if task.is_regression:
        low, high = task.score_range or (-math.inf, math.inf)

        def parse_score(cell: Any) -> float:
            try:
                score = math.nan if isinstance(cell, bool) else float(cell)
            except (TypeError, ValueError):
                score = math.nan
            if not (low <= score <= high and math.isfinite(score)):
                raise ValueError(f"allowed: {'any number' if low == -math.inf else f'{low:g} to {high:g}'}")
            return score

        return parse_score

    allowed = {name: index for index, name in enumerate(task.labels)}
    for index, written in enumerate(task.submission_labels):
        allowed.setdefault(written, index)

    def parse_class(cell: Any) -> int:
        name = str(cell).lower() if isinstance(cell, bool) else str(cell)
        if name not in allowed:
            raise ValueError(f"allowed: {', '.join(allowed)}")
        return allowed[name]

    return parse_class
