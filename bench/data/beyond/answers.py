"""How a model's answers are scored on a set whose classes are others than the model's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import UsageError, unknown

Answers = Mapping[str, str | Sequence[str]]
"""From each class of a model to the class of the set that it stands for, or the several."""


@dataclass(frozen=True)
class Scored:
    """The classes that are scored, and what is what among them.

    ``of_answer`` [classes of the model] and ``of_label`` (by class of the set) are indices into ``classes``.
    """

    classes: tuple[str, ...]
    of_answer: tuple[int, ...]
    of_label: Mapping[str, int]


def scored(answers: Answers, theirs: Sequence[str], own: Sequence[str], where: str) -> Scored:
    """Return what is scored where a model of the classes ``own`` answers on a set of the classes ``theirs``.

    Classes between which the answers cannot tell are one: the connected parts of the graph from answers to classes.
    Raises UsageError, which begins with ``where``, unless every answer and every class is in one of two parts or more.
    """
    stands_for = {mine: (value,) if isinstance(value, str) else tuple(value) for mine, value in answers.items()}
    for mine, classes in stands_for.items():
        if mine not in own:
            raise unknown(f"answer of the model in {where}", mine, own)
        for name in classes:
            if name not in theirs:
                raise unknown(f"class of the set in {where}", name, theirs)
    if silent := [mine for mine in own if not stands_for.get(mine)]:
        raise UsageError(f"{where}: labels do not map: the model's answer {silent[0]!r} stands for no class of the set")
    if unreached := [name for name in theirs if not any(name in classes for classes in stands_for.values())]:
        raise UsageError(f"{where}: labels do not map: no answer of the model stands for the class {unreached[0]!r}")
    part: dict[str, int] = {}
    for mine in own:
        # All that this answer stands for is one part, with whatever parts these were in before.
        joined = {part[name] for name in stands_for[mine] if name in part}
        number = min(joined, default=max(part.values(), default=-1) + 1)
        part |= {name: number for name in part if part[name] in joined}
        part |= dict.fromkeys(stands_for[mine], number)
    numbers = sorted(set(part.values()))
    if len(numbers) < 2:
        raise UsageError(f"{where}: labels do not map: the answers leave one class, and nothing to tell apart")
    of_label = {name: numbers.index(part[name]) for name in theirs}
    names = tuple(" or ".join(name for name in theirs if of_label[name] == number) for number in range(len(numbers)))
    return Scored(names, tuple(of_label[stands_for[mine][0]] for mine in own), of_label)
