"""A frame as a file for other programs: JSON, CSV and parquet. No text of a record is a formula in a spreadsheet."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.errors import printable
from bench.reporting.sheet import plain_rows

if TYPE_CHECKING:
    import pandas as pd


def json_text(frame: pd.DataFrame) -> str:
    """Return the rows as a JSON list of objects, a line each, null for what is missing; gains are fractions."""
    lines = ",\n".join(map(_line, plain_rows(frame)))
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def _line(row: Mapping[str, Any]) -> str:
    try:
        return json.dumps(row, allow_nan=False, default=_plain)
    except (ValueError, TypeError):  # a number in it, or a key, that JSON does not have
        return json.dumps(_json(row), allow_nan=False, default=_plain)


def csv_text(frame: pd.DataFrame) -> str:
    """Return the rows as CSV; lists and mappings are written as JSON in their cells."""
    import pandas as pd

    rows = [{key: _csv_cell(_flat(value)) for key, value in row.items()} for row in plain_rows(frame)]
    return pd.DataFrame(rows, columns=list(frame.columns)).to_csv(index=False)


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """Return the rows as a parquet file, columns typed as in ``frame``; lists and mappings are written as JSON."""
    flat = frame.copy()
    for name in flat.columns[flat.dtypes == "object"]:
        flat[name] = [_flat(value) for value in flat[name]]
    buffer = io.BytesIO()
    flat.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _json(value: Any) -> Any:
    """Return ``value`` with null for every number in it that JSON does not have."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): _json(inner) for key, inner in value.items()}
    return [_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """Return the Python number or text that a numpy one stands for."""
    return value.item() if hasattr(value, "item") else str(value)


def _flat(value: Any) -> Any:
    return json.dumps(_json(value), default=_plain) if isinstance(value, Mapping | list | tuple) else value


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str):
        # A spreadsheet takes such a text for a formula.
        return ("'" if value[:1] in ("=", "+", "-", "@") else "") + printable(value)
    return value
