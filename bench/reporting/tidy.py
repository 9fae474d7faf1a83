"""The tidy frame of records: one row per run, split and metric, with typed columns named as the record's fields are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import inspect

from bench.reporting.records import uncollected
from bench.reporting.schema import Done, Record

if TYPE_CHECKING:
    import pandas as pd


class Own:
    """The columns that no field of a record is behind; where a run gave no score, the first four are missing."""

    split: str  # split that was scored; missing where the run gave no score
    metric: str  # what was measured there; missing where the run gave no score
    value: float  # the score as a fraction; missing where it was no finite number
    main: bool  # whether tables show this score: one row of each run that gave one
    status: str  # done, failed or skipped
    passes: float  # rows forward through all models, a row backward counted as two; missing in older records


FIRST = ("preset", "task", "strategy", "seed", "split", "metric", "value", "main", "status", "reason", "id")
BACKWARD = 2
"""Forward passes that a backward pass counts as: it computes the gradient of the inputs and that of the weights."""
_IN_ROWS = ("schema", "main", "metrics")
"""Fields that are no columns: the scores become rows, and all records have one schema."""


_ENCODER = msgspec.json.Encoder(order="deterministic")
_PART = 500
"""Records that are taken apart at once."""
_TIMES = ("started", "finished")


class Column(NamedTuple):
    """A field of a record as a column, of a kind: ``number``, ``count``, ``flag``, ``text``, ``time`` or ``json``."""

    name: str
    kind: str
    place: int  # among what ``_values`` returns


@cache
def columns() -> tuple[Column, ...]:
    """Return the columns that a record's fields make, its own first: ``seed``, then ``cost.tokens`` and the like."""
    own, flat, place = _fields(Done), [], len(Done.__struct_fields__)
    for number, (name, kind) in enumerate(own.items()):
        if name not in _IN_ROWS and not isinstance(kind, inspect.StructType):
            flat.append(Column(name, _kind(name, kind), number))
    for section in _sections():
        kind = own[section]
        assert isinstance(kind, inspect.StructType)
        for name, inner in _fields(kind.cls).items():
            if section not in _IN_ROWS:
                flat.append(Column(f"{section}.{name}", _kind(name, inner), place))
            place += 1
    return tuple(flat)


@cache
def _width() -> int:
    """Return how many values ``_values`` returns."""
    return len(Done.__struct_fields__) + sum(map(len, _sections().values())) + 1


@cache
def _sections() -> dict[str, tuple[None, ...]]:
    """Return the sections of a record, each with as many None as it has fields."""
    own = _fields(Done).items()
    return {n: (None,) * len(kind.fields) for n, kind in own if isinstance(kind, inspect.StructType)}


def _fields(cls: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    struct = inspect.type_info(cls)
    assert isinstance(struct, inspect.StructType)
    return {field.name: _unwrapped(field.type) for field in struct.fields}


def _unwrapped(kind: inspect.Type) -> inspect.Type:
    """Return ``kind`` without the null that it may be instead."""
    if isinstance(kind, inspect.UnionType):
        there = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        return there[0] if len(there) == 1 else kind
    return kind


def _kind(name: str, kind: inspect.Type) -> str:
    kinds = {"FloatType": "number", "IntType": "count", "BoolType": "flag", "StrType": "text"}
    return "time" if name in _TIMES else kinds.get(type(kind).__name__, "json")


@uncollected()
def tidy(records: Iterable[Record]) -> pd.DataFrame:
    """Return the tidy frame of ``records``: one row per (run, split, metric), and one for each run without a score.

    ``folder`` tells runs apart. Columns are the record's fields by their path, as ``teacher.dev``, and those of
    ``Own``: numbers are float64, counts Int64, flags boolean, texts string, times datetime64 in UTC. Lists and mappings
    are JSON texts, as ``strategy_options``: equal ones are equal texts. What a record does not have is missing.
    """
    import numpy as np
    import pandas as pd

    by_field: list[list[Any]] = [[] for _ in range(_width())]
    runs: list[int] = []
    scores: list[tuple[str | None, str | None, float | None, bool]] = []
    sections, remaining, number = _sections(), iter(records), 0
    as_json = {column.place for column in columns() if column.kind == "json"}
    same: dict[bytes, str] = {}  # 10,000 runs have a handful of specifications
    # In parts that a processor's cache holds: of 100,000 records at once every field is fetched from memory anew.
    while part := [*islice(remaining, _PART)]:
        for place, values in enumerate(zip(*(_values(record, sections) for record in part), strict=True)):
            by_field[place] += (_json(value, same) for value in values) if place in as_json else values
        for record in part:
            own = _scores(record)
            scores += own
            runs += [number] * len(own)
            number += 1
    by_name: dict[str, Any] = {column.name: _array(column.kind, by_field[column.place]) for column in columns()}
    by_name["status"] = _array("text", by_field[-1])
    asked = [0 if queries is pd.NA else queries for queries in by_name["cost.attack_queries"].tolist()]
    by_name["passes"] = _passes(by_name["cost.forwards"].tolist(), by_name["cost.backwards"].tolist(), asked)
    places = np.array(runs, dtype=np.int64)
    by_name = {name: values.take(places) for name, values in by_name.items()}
    kinds = {"split": "text", "metric": "text", "value": "number"}
    by_part: list[Any] = list(zip(*scores, strict=True)) or [()] * 4
    by_name |= {name: _array(kind, values) for (name, kind), values in zip(kinds.items(), by_part, strict=False)}
    by_name["main"] = np.array(by_part[3], dtype=bool)
    return pd.DataFrame({name: by_name[name] for name in dict.fromkeys((*FIRST, *by_name))}, copy=False)


def _values(record: Record, sections: Mapping[str, tuple[None, ...]]) -> tuple[Any, ...]:
    """Return what the record's fields hold, those of its sections after its own, and last its status."""
    own = msgspec.structs.astuple(record)
    values = [*own, *[None] * (len(Done.__struct_fields__) - len(own))]
    for section, nothing in sections.items():
        part = getattr(record, section, None)
        values += nothing if part is None else msgspec.structs.astuple(part)
    return (*values, record.status)


def _json(value: Any, same: dict[bytes, str]) -> str | None:
    """Return ``value`` as JSON, None for None; equal ones, which are kept in ``same``, as one text."""
    if value is None:
        return None
    raw = _ENCODER.encode(value)
    text = same.get(raw)
    if text is None:
        text = same[raw] = raw.decode()
    return text


def _scores(record: Record) -> list[tuple[str | None, str | None, float | None, bool]]:
    """Return (split, metric, value, main) of each score of a run; a single one of nothing where it gave none."""
    if not isinstance(record, Done):
        return [(None, None, None, False)]
    main = record.main
    others = [
        (split, metric, value, False)
        for split, values in record.metrics.items()
        for metric, value in values.items()
        if (split, metric) != (main.split, main.metric)
    ]
    return [(main.split, main.metric, main.value, True), *others]


def _array(kind: str, values: Sequence[Any]) -> Any:
    """Return ``values``, None where there is none, as the array of one kind of column."""
    import numpy as np
    import pandas as pd

    if kind in ("text", "json"):
        # Stored as Python's texts: a text that many rows share is stored once.
        return pd.array(np.array([*values], dtype=object), dtype=pd.StringDtype("python"))
    if kind == "time":
        times = pd.to_datetime(pd.Series([*values], dtype=object), utc=True, errors="coerce", format="ISO8601")
        return times.dt.as_unit("us").array
    numbers = np.array([*values], dtype=np.float64)  # exact: counts are below 2**53
    if kind == "number":
        return numbers
    missing = np.isnan(numbers)
    if kind == "flag":
        return pd.arrays.BooleanArray(numbers == 1, missing)
    return pd.arrays.IntegerArray(np.where(missing, 0, numbers).astype(np.int64), missing)


def _passes(forwards: Iterable[Any], backwards: Iterable[Any], asked: Iterable[int]) -> Any:
    """Return the passes of each run, from its rows by model as JSON; missing where none were counted.

    What an attack ``asked`` its victim about was a row forward through that model each.
    """
    import numpy as np

    runs = zip(forwards, backwards, asked, strict=True)
    counted = ((_rows(ahead) + BACKWARD * _rows(back), more) for ahead, back, more in runs)
    return np.array([passes + more if passes else np.nan for passes, more in counted], dtype=np.float64)


@cache
def _rows(by_model: Any) -> int:
    return sum(msgspec.json.decode(by_model).values()) if isinstance(by_model, str) else 0
