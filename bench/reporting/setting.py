"""What must be equal for two rows of a task to be compared, and in what two such settings differ, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bench.files import digest
from bench.settings import WITHOUT_EFFECT

if TYPE_CHECKING:
    import pandas as pd


class Setting(NamedTuple):
    """All that must be equal for two rows of one task to be compared."""

    signature: str
    student_updates: int
    selection: str
    optimistic: bool
    split: str
    metric: str
    max_train: int | None

    def short(self) -> str:
        """Return eight hex digits that stand for the setting."""
        return digest(*self)[:8]


def settings(runs: pd.DataFrame) -> pd.Series:
    """Return the ``Setting`` of each run of ``runs``, which has the columns of the tidy frame, equal ones as one."""
    import pandas as pd

    keys = runs[["signature"]].assign(
        # A run of another budget stands beside those whose updates it had in the place of.
        updates=runs["budget.recipe_updates"].fillna(runs["cost.student_updates"]),
        **{
            name: runs[name] for name in ("selection.rule", "selection.optimistic", "split", "metric", "data.max_train")
        },
    )
    number = keys.groupby(list(keys), sort=False, dropna=False).ngroup()
    plain = keys.loc[~number.duplicated()].astype(object)
    distinct = [Setting(*row) for row in plain.where(plain.notna(), None).itertuples(index=False, name=None)]
    of_number = pd.Series([None] * 0, dtype=object).reindex(range(len(distinct)))
    for place, setting in enumerate(distinct):
        of_number.iat[place] = setting
    return number.map(of_number)


def differences(one: Setting, its_spec: str, other: Setting, other_spec: str) -> tuple[str, ...]:
    """Return what a run was made with and another was not: ``"teacher.epochs 1, not 3"`` and the like.

    Each is given by its setting and the settings that took effect, as JSON.
    """
    mine, theirs = _words(one, its_spec), _words(other, other_spec)
    keys = [key for key in {**theirs, **mine} if mine.get(key) != theirs.get(key) and not _is_newer(key, mine, theirs)]
    # A section's hash says nothing more where its settings do.
    sections = {key.partition(".")[0] for key in keys if "." in key}
    return tuple(
        f"{key} {mine.get(key, 'absent')}, not {theirs.get(key, 'absent')}" for key in keys if key not in sections
    )


def _is_newer(key: str, mine: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    """Return whether ``key`` is a setting that one of two records is too old to have, rather than part of a shape."""
    return key.count(".") == 1 and not (key in mine and key in theirs)


def _words(setting: Setting, spec: str) -> dict[str, str]:
    """Return a run's setting as {name: value}: the signature taken apart at its bars, its hashes by setting."""
    words = {key: value for key, _, value in (piece.partition("=") for piece in setting.signature.split("|"))}
    sections = msgspec.json.decode(spec)
    for name in ("teacher", "student", "generator", "recipe"):
        section = sections.get(name)
        if name in words and isinstance(section, dict):
            silent = {"selection", *WITHOUT_EFFECT.get(name, ())}
            words |= _flat({key: value for key, value in section.items() if key not in silent}, f"{name}.")
    return words | {
        "max_train": str(setting.max_train or "all"),
        "train_rows": words.get("train_rows", "all"),
        "selection": setting.selection + (" (optimistic)" if setting.optimistic else ""),
        "student updates": str(setting.student_updates),
        "score": f"{setting.split} {setting.metric}",
    }


def _flat(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, f"{value:g}" if isinstance(value, float) else str(value)
