"""What the students of runs predicted, read from the files beside their records and checked against these."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bench.files import digest
from bench.reporting.records import EVALUATIONS, folder_name

if TYPE_CHECKING:
    import pandas as pd

    from bench.reporting.students import Predicted

EXAMPLE, LOGITS = "id", "logit_"
_NUMBERS = ("label", "prediction")
_READ = (EXAMPLE, *_NUMBERS)
"""Columns that every file has."""
_AGAIN = "delete it to go without, or run the cell again with --redo"
_EVALUATE = "delete it and evaluate or attack again"
_MOST = 2.0**53
"""What is larger is no class and no score, and no whole number that a float holds."""


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
    more = (EXAMPLE, *((LOGITS,) if logits else ()))
    files, wrong = _checked(root, frame, splits, more)
    return _together(files), wrong


def answers(
    root: Path, frame: pd.DataFrame, splits: Collection[str] | None = None
) -> tuple[dict[tuple[str, str], Predicted], list[tuple[Path, str]]]:
    """Return what ``predicted`` does as {(id of the run, split): its answers}, without a frame of all rows."""
    import numpy as np

    from bench.reporting.students import Predicted

    files, wrong = _checked(root, frame, splits)
    places: dict[int, np.ndarray] = {file.rows: np.arange(file.rows) for file, _ in files}
    return {
        (file.id, file.split): Predicted(places[file.rows], part["label"], part["prediction"]) for file, part in files
    }, wrong


def _checked(
    root: Path, frame: pd.DataFrame, splits: Collection[str] | None, more: Sequence[str] = ()
) -> tuple[list[tuple[_File, dict[str, Any]]], list[tuple[Path, str]]]:
    """Return the files whose content is as it should be, with it, and the others with what is wrong."""
    wrong: list[tuple[Path, str]] = []
    read: list[tuple[_File, dict[str, Any]]] = []
    for file in _files(root, frame, splits):
        try:
            read.append((file, _content(file, more)))
        except (ValueError, OSError, NotImplementedError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
            wrong.append((file.path, f"{reason}; {_remedy(file)}"))
    labels = [digest(part["label"].tobytes()) for _, part in read]
    usual: dict[tuple[str, ...], Counter[str]] = {}
    for (file, _), label in zip(read, labels, strict=True):
        usual.setdefault(file.data, Counter())[label] += 1
    kept = []
    for (file, part), label in zip(read, labels, strict=True):
        if label == usual[file.data].most_common(1)[0][0]:
            kept.append((file, part))
        else:
            wrong.append((file.path, f"other labels than the other runs have on the same data; {_remedy(file)}"))
    return kept, wrong


def _remedy(file: _File) -> str:
    return _EVALUATE if file.split.startswith(f"{EVALUATIONS}/") else _AGAIN


def _files(root: Path, frame: pd.DataFrame, splits: Collection[str] | None) -> Iterator[_File]:
    """Yield the files of predictions that are there."""
    columns = ["folder", "id", "task", "data.fingerprint", "signature", "data.rows"]
    runs = frame.loc[frame["status"] == "done", columns].drop_duplicates("folder")
    name_of = cache(folder_name)
    decode: Callable[[str], dict[str, int]] = cache(msgspec.json.decode)
    start = os.fspath(root)  # a Path for each of 10,000 runs would take longer than all else here
    for folder, id, task, fingerprint, signature, counts in zip(
        *(runs[name].tolist() for name in columns), strict=True
    ):
        rows = decode(counts)
        # An older record says nothing of its data but in its signature.
        data = fingerprint or signature
        for split in rows if splits is None else [split for split in splits if split in rows]:
            # An evaluation beyond dev is a split under the name of its file.
            of_set = split.startswith(f"{EVALUATIONS}/")
            path = f"{start}/{folder}/" + (split if of_set else f"predictions/{name_of(split)}") + ".parquet"
            if os.path.isfile(path):
                yield _File(Path(path), id, split, rows[split], (task, data, split))


def _together(parts: list[tuple[_File, dict[str, Any]]]) -> pd.DataFrame:
    """Return all rows as one frame, each with its run and split."""
    import numpy as np
    import pandas as pd

    nothing = pd.DataFrame({"row": [], "example": [], "label": [], "prediction": []}).astype({"row": "int64"})
    frames = [
        pd.DataFrame(
            {"row": np.arange(file.rows), "example": part[EXAMPLE].to_pandas()}
            | {name: values for name, values in part.items() if name != EXAMPLE}
        )
        for file, part in parts
    ]
    frame = pd.concat(frames, ignore_index=True) if frames else nothing
    sizes = [file.rows for file, _ in parts]
    for place, name in enumerate(("id", "split")):
        values = pd.Series([getattr(file, name) for file, _ in parts], dtype=object).astype("category")
        frame.insert(place, name, values.repeat(sizes).array)
    return frame


def _content(file: _File, more: Sequence[str]) -> dict[str, Any]:
    """Return the labels and predictions of a file, and ``more`` of it; ValueError says what is wrong with it."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(file.path) as source:
        names = source.schema_arrow.names
        if missing := [name for name in _READ if name not in names]:
            raise ValueError(f"no column {', '.join(missing)}")
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise ValueError(f"column {twice[0]} twice")
        if (rows := source.metadata.num_rows) != file.rows:
            raise ValueError(f"{rows:,} rows, but its record says that {file.split} has {file.rows:,}")
        numbers = [*_NUMBERS, *(name for name in names if LOGITS in more and name.startswith(LOGITS))]
        # Small files: threads would cost more than they bring.
        table = source.read(columns=[*numbers, *([EXAMPLE] if EXAMPLE in more else [])], use_threads=False)
    content: dict[str, Any] = {EXAMPLE: table[EXAMPLE]} if EXAMPLE in more else {}
    for name in numbers:
        if not (pa.types.is_integer(kind := table.schema.field(name).type) or pa.types.is_floating(kind)):
            raise ValueError(f"its column {name} holds no numbers but {kind}")
        content[name] = table[name].to_numpy().astype(np.float64)
    if not (finite := np.abs(content["prediction"]) < _MOST).all():
        raise ValueError(f"{int((~finite).sum()):,} predictions are no finite numbers")
    return content
