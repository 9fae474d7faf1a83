"""What the students of runs predicted, read from the files beside their records and checked against these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bench.files import digest
from bench.reporting.records import EVALUATIONS, folder_name

if TYPE_CHECKING:
    import pandas as pd

_READ = ("id", "label", "prediction")
"""Columns that every file has."""
_AGAIN = "delete it to go without, or run the cell again with --redo"


class _File(NamedTuple):
    """The predictions of one run on one split."""

    path: Path
    id: str
    split: str
    rows: int  # as many as the record says that the split has
    data: tuple[str, str, str]  # what is equal for runs that were scored on the same rows


def predicted(
    root: Path, frame: pd.DataFrame, splits: Collection[str] | None = None, *, logits: bool = False
) -> tuple[pd.DataFrame, list[tuple[Path, str]]]:
    """Return the predictions of the runs of ``frame``, which come from the results in ``root``, and what is wrong.

    The first is a frame with a row per (run, split, row): ``id`` of the run, ``split``, ``row`` from 0, ``example``,
    the row's own id in the data, ``label``, ``prediction``, a class's number or a score, and with ``logits`` also
    ``logit_0`` and so on. Only the ``splits`` named are read, else all. A run without such files has no rows in it.

    A file that is left out stands in the second, with why and what to do: one that cannot be read, lacks a column,
    holds no number where one is due, has other rows than its record says, or other labels than most runs on the same
    data.
    """
    wrong: list[tuple[Path, str]] = []
    read: list[tuple[_File, pd.DataFrame]] = []
    for file in _files(root, frame, splits):
        try:
            read.append((file, _content(file, logits)))
        except (ValueError, OSError, NotImplementedError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
            wrong.append((file.path, f"{reason}; {_AGAIN}"))
    labels = [digest(part["label"].to_numpy().tobytes()) for _, part in read]
    usual: dict[tuple[str, ...], Counter[str]] = {}
    for (file, _), label in zip(read, labels, strict=True):
        usual.setdefault(file.data, Counter())[label] += 1
    kept = []
    for (file, part), label in zip(read, labels, strict=True):
        if label == usual[file.data].most_common(1)[0][0]:
            kept.append((file, part))
        else:
            wrong.append((file.path, f"other labels than the other runs have on the same data; {_AGAIN}"))
    return _together(kept), wrong


def _files(root: Path, frame: pd.DataFrame, splits: Collection[str] | None) -> Iterator[_File]:
    """Yield the files of predictions that are there."""
    runs = frame[frame["status"] == "done"].drop_duplicates("folder")
    columns = ["folder", "id", "task", "data.fingerprint", "signature", "data.rows"]
    for folder, id, task, fingerprint, signature, counts in zip(*(runs[name] for name in columns), strict=True):
        rows: dict[str, int] = msgspec.json.decode(counts)
        # An older record says nothing of its data but in its signature.
        data = fingerprint or signature
        for split in rows if splits is None else [split for split in splits if split in rows]:
            # An evaluation beyond dev is a split under the name of its file.
            of_set = split.startswith(f"{EVALUATIONS}/")
            path = root / folder / (f"{split}.parquet" if of_set else f"predictions/{folder_name(split)}.parquet")
            if path.is_file():
                yield _File(path, id, split, rows[split], (task, data, split))


def _together(parts: list[tuple[_File, pd.DataFrame]]) -> pd.DataFrame:
    """Return all rows as one frame, each with its run and split."""
    import pandas as pd

    nothing = pd.DataFrame({"row": [], "example": [], "label": [], "prediction": []}).astype({"row": "int64"})
    made = pd.concat([part for _, part in parts], ignore_index=True) if parts else nothing
    sizes = [len(part) for _, part in parts]
    for place, name in enumerate(("id", "split")):
        values = pd.Series([getattr(file, name) for file, _ in parts], dtype=object).astype("category")
        made.insert(place, name, values.repeat(sizes).array)
    return made


def _content(file: _File, logits: bool) -> pd.DataFrame:
    """Return the rows of a file; ValueError says what is wrong with it."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(file.path) as source:
        names = source.schema_arrow.names
        if missing := [name for name in _READ if name not in names]:
            raise ValueError(f"no column {', '.join(missing)}")
        if (rows := source.metadata.num_rows) != file.rows:
            raise ValueError(f"{rows:,} rows, but its record says that {file.split} has {file.rows:,}")
        more = [name for name in names if name.startswith("logit_")] if logits else []
        table = source.read(columns=[*_READ, *more])
    numbers = {}
    for name in ("label", "prediction", *more):
        if not (pa.types.is_integer(kind := table.schema.field(name).type) or pa.types.is_floating(kind)):
            raise ValueError(f"its column {name} holds no numbers but {kind}")
        numbers[name] = table[name].to_numpy().astype(np.float64)
    if not np.isfinite(numbers["prediction"]).all():
        raise ValueError(f"{int((~np.isfinite(numbers['prediction'])).sum()):,} predictions are no finite numbers")
    return pd.DataFrame({"row": np.arange(rows), "example": table["id"].to_pandas(), **numbers})
