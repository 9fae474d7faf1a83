"""What must be equal for two rows of a task to be compared, and in what two such settings differ, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bench.files import digest
from bench.reporting.schema import Done
from bench.settings import WITHOUT_EFFECT


class Setting(NamedTuple):
    """All that must be equal for two rows of one task to be compared."""

    signature: str
    student_updates: int
    selection: str
    optimistic: bool
    split: str
    metric: str
    max_train: int | None

    @classmethod
    def of(cls, record: Done) -> Setting:
        """Return the setting that ``record`` was run in."""
        return cls(
            record.signature,
            # A run of another budget stands beside those whose updates it had in the place of.
            record.budget.recipe_updates if record.budget else record.cost.student_updates,
            record.selection.rule,
            record.selection.optimistic,
            record.main.split,
            record.main.metric,
            record.data.max_train,
        )

    def short(self) -> str:
        """Return eight hex digits that stand for the setting."""
        return digest(*self)[:8]


def differences(one: Done, other: Done) -> tuple[str, ...]:
    """Return what ``one`` was run with and ``other`` was not: ``"teacher.epochs 1, not 3"`` and the like."""
    mine, theirs = _words(one), _words(other)
    keys = [key for key in {**theirs, **mine} if mine.get(key) != theirs.get(key) and not _is_newer(key, mine, theirs)]
    # A section's hash says nothing more where its settings do.
    sections = {key.partition(".")[0] for key in keys if "." in key}
    return tuple(
        f"{key} {mine.get(key, 'absent')}, not {theirs.get(key, 'absent')}" for key in keys if key not in sections
    )


def _is_newer(key: str, mine: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    """Return whether ``key`` is a setting that one of two records is too old to have, rather than part of a shape."""
    return key.count(".") == 1 and not (key in mine and key in theirs)


def _words(record: Done) -> dict[str, str]:
    """Return a run's setting as {name: value}: the signature taken apart at its bars, its hashes by setting."""
    words = {key: value for key, _, value in (piece.partition("=") for piece in record.signature.split("|"))}
    for name in ("teacher", "student", "generator", "recipe"):
        section = record.spec.get(name)
        if name in words and isinstance(section, dict):
            silent = {"selection", *WITHOUT_EFFECT.get(name, ())}
            words |= _flat({key: value for key, value in section.items() if key not in silent}, f"{name}.")
    rule = record.selection.rule + (" (optimistic)" if record.selection.optimistic else "")
    return words | {
        "max_train": str(record.data.max_train or "all"),
        "selection": rule,
        "student updates": str(Setting.of(record).student_updates),
        "score": f"{record.main.split} {record.main.metric}",
    }


def _flat(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, f"{value:g}" if isinstance(value, float) else str(value)
