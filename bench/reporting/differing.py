"""What two runs differ in: settings, code and machine, scores and cost, and row by row their predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

SPECIFICATION = (
    *("preset", "task", "strategy", "seed", "strategy_options", "spec", "tuned", "data", "teacher", "generator"),
    *("selection", "budget"),
)
"""Fields of a record that say what was run."""
MADE_BY = ("provenance",)
RESULT = ("status", "reason", "metrics", "cost", "adversary", "text_quality", "checks", "resumed")
ABSENT = "absent"
_SILENT = ("provenance.started", "provenance.finished", "provenance.command", "spec.about", "cost.seconds.")
_NAMED_ROWS = 10


class Difference(NamedTuple):
    """A field of two records, by its path ("spec.recipe.lr"), and both its values; ``ABSENT`` where one has none."""

    field: str
    one: Any
    other: Any


def differences(one: Mapping[str, Any], other: Mapping[str, Any], fields: tuple[str, ...]) -> list[Difference]:
    """Return where the ``fields`` of two records, as JSON holds them, differ."""
    mine, theirs = ({key: tree[key] for key in fields if key in tree} for tree in (one, other))
    return [each for each in _unequal(mine, theirs, "") if not each.field.startswith(_SILENT)]


def _unequal(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str) -> Iterator[Difference]:
    for key in {**one, **other}:
        mine, theirs = one.get(key, ABSENT), other.get(key, ABSENT)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            yield from _unequal(mine, theirs, f"{prefix}{key}.")
        elif mine != theirs and not {_known(mine), _known(theirs)} <= {None, ABSENT}:
            # Of a section that only one has, not each field.
            yield Difference(
                prefix + key, *("a section" if isinstance(value, dict) else value for value in (mine, theirs))
            )


def _known(value: Any) -> str | None:
    """Return None and ``ABSENT`` as they are: of an older record's missing field nothing is known."""
    return value if value is None or value == ABSENT else "known"


@dataclass(frozen=True)
class Predictions:
    """The predictions of two runs on a split: rows both have, those on which they differ, and who is right there."""

    split: str
    rows: int
    differ: int
    one_right: int | None
    other_right: int | None
    """Of the rows on which they differ; None where the rows have no labels."""
    named: tuple[str, ...]
    """The ids of the first rows on which they differ."""
    gap: float
    """The largest difference of a logit."""

    @property
    def equal(self) -> bool:
        """Whether the two runs say the same to the last bit."""
        return self.differ == 0 and self.gap == 0


def predictions(one: Path, other: Path) -> tuple[list[Predictions], list[str]]:
    """Return how the predictions of the runs in two folders differ by split, and why a split has no answer."""
    mine, theirs = ({path.stem: path for path in (run / "predictions").glob("*.parquet")} for run in (one, other))
    compared, silent = [], []
    for split in sorted({**mine, **theirs}):
        if split not in mine or split not in theirs:
            silent.append(f"{split}: only one of the two has predictions")
            continue
        try:
            compared.append(_compared(split, _read(mine[split]), _read(theirs[split])))
        except BenchError as error:
            silent.append(f"{split}: {error}")
    if not compared and not silent:
        silent.append("neither has predictions")
    return compared, silent


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} cannot be read: {str(error).partition(chr(10))[0]}") from error


def _compared(split: str, one: pd.DataFrame, other: pd.DataFrame) -> Predictions:
    import numpy as np
    import pandas as pd

    if missing := [name for name in ("id", "label", "prediction") if name not in one or name not in other]:
        raise BenchError(f"no column {', '.join(missing)}")
    if len(one) != len(other) or list(one["id"]) != list(other["id"]) or not _same(one["label"], other["label"]).all():
        raise BenchError(f"they are of other rows ({len(one):,} and {len(other):,})")
    logits = [name for name in one if str(name).startswith("logit_") and name in other]
    for name in ("label", "prediction", *logits):
        for part in (one, other):
            if not pd.api.types.is_numeric_dtype(part[name]):
                raise BenchError(f"column {name} holds no numbers")
            if name != "label" and not np.isfinite(part[name].to_numpy(float, na_value=math.nan)).all():
                raise BenchError(f"column {name} holds what is no finite number")
    changed = ~_same(one["prediction"], other["prediction"])
    labels = one["label"]
    known = not (labels.isna() | (labels < 0)).all()
    gaps = [float(np.abs(one[name] - other[name]).max()) for name in logits]

    def right(part: pd.DataFrame) -> int | None:
        return int(((part["prediction"] == labels) & changed).sum()) if known else None

    return Predictions(
        split,
        len(one),
        int(changed.sum()),
        right(one),
        right(other),
        tuple(map(str, one.loc[changed, "id"].head(_NAMED_ROWS))),
        max(gaps, default=0.0),
    )


def _same(one: pd.Series, other: pd.Series) -> pd.Series:
    return (one == other) | (one.isna() & other.isna())
