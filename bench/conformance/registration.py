"""Checks of a strategy as a name with options: its description, its options, its needs, and the tasks it takes."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

from bench.conformance import Failed, Skipped
from bench.conformance.subject import Subject
from bench.errors import UsageError
from bench.registry import about, load, strategy_file
from bench.spec import StrategySpec, missing, options_of

HEAVY = ("torch", "transformers", "pandas", "nltk", "sklearn")
_SLOW_SECONDS = 2.0

_ELSEWHERE = """
import json, sys, time
from bench.spec import StrategySpec, missing, options_of
spec = StrategySpec.parse(sys.argv[1])
strategy = spec.create()
start = time.process_time()
missing(strategy)
seconds = time.process_time() - start
heavy = [name for name in sys.argv[2:] if name in sys.modules]
print(json.dumps({"spec": str(spec), "options": repr(spec.effective()), "seconds": seconds, "heavy": heavy}))
"""


def described(subject: Subject) -> None:
    """The class has a docstring of its own. Its first line is all that `bench list strategies` says of it."""
    cls = load(subject.spec.name)
    line = about(cls)
    if not line or line.startswith(f"{cls.__name__}("):
        raise Failed(f"class {cls.__name__} has no docstring; its first line is what bench list strategies shows")


def options(subject: Subject) -> str | None:
    """The strategy's text, read back, has the same options, at other values too; one refused raises UsageError.

    Results are filed by that text, and worker processes construct the strategy from it.
    """
    spec, tried = subject.spec, 1
    _spelled(spec)
    if pickle.loads(pickle.dumps(spec)) != spec:
        raise Failed(f"the spec {spec} is another one after pickling: give options values that compare equal")
    given = dict(spec.options)
    for name, (kind, default) in options_of(load(spec.name)).items():
        for value in _other_values(kind, given.get(name, default)):
            changed = StrategySpec(spec.name, tuple(sorted({**given, name: value}.items())), spec.inner)
            try:
                parsed = StrategySpec.parse(str(changed))
            except UsageError as error:
                if isinstance(error.__cause__, None | UsageError | TypeError | ValueError):
                    continue
                raise Failed(
                    f"{changed}: {error}; refuse a value that makes no sense by raising bench.errors.UsageError in "
                    f"__post_init__"
                ) from error
            _spelled(parsed)
            tried += 1
    return f"tried with {tried} values of its options" if tried > 1 else None


def _spelled(spec: StrategySpec) -> None:
    again = StrategySpec.parse(str(spec))
    if again != spec or again.effective() != spec.effective():
        raise Failed(
            f"{spec} is read back as {again} ({again.effective()}, not {spec.effective()}): options must be plain "
            f"values that __post_init__ leaves as they are"
        )


def _other_values(kind: Any, default: Any) -> list[Any]:
    if get_origin(kind) is Literal:
        return [choice for choice in get_args(kind) if choice != default]
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int | float):
        return [default + 1, default / 2 if isinstance(default, float) else 1, 0, -1]
    return []


def elsewhere(subject: Subject) -> None:
    """Another process constructs the strategy from its text with the same options. Worker processes do just that."""
    other, own = _in_another_process(subject), repr(subject.spec.effective())
    if (other["spec"], other["options"]) != (str(subject.spec), own):
        raise Failed(
            f"another process makes {other['spec']} with {other['options']} of it, not {own}: options must not "
            f"depend on the process"
        )


def quick_to_list(subject: Subject) -> None:
    """Loading it and asking what it lacks imports nothing heavy. `bench list strategies` does that with every one."""
    other = _in_another_process(subject)
    if other["seconds"] > _SLOW_SECONDS:
        raise Failed(f"resources() took {other['seconds']:.1f} s to look at: look for files only, import nothing")
    if any(strategy_file(name) for name in _names(subject.spec)):
        raise Skipped("a strategy from a file is not listed")
    if other["heavy"]:
        raise Failed(f"loading it imports {', '.join(other['heavy'])}: import them inside the methods that use them")


def _names(spec: StrategySpec) -> list[str]:
    return [spec.name, *(name for inner in spec.inner for name in _names(inner))]


@lru_cache(maxsize=1)
def _in_another_process(subject: Subject) -> dict[str, Any]:
    heavy = {*HEAVY, *(library for rewriter in subject.create().rewriters() for library in rewriter.libraries)}
    command = [sys.executable, "-c", _ELSEWHERE, str(subject.spec), *sorted(heavy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(f"another process cannot make {subject.spec}: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def resources(subject: Subject) -> str | None:
    """All that it needs besides code is on this machine. What is missing is named with the command that gets it."""
    start = time.perf_counter()
    lacking = missing(subject.create())
    if lacking:
        wanted = "; ".join(f"{resource.name}: {resource.command}" for resource in lacking)
        raise Failed(f"not ready, so nothing else can be checked; missing {wanted}")
    count = len(subject.create().resources())
    return f"looked up {count} in {time.perf_counter() - start:.2f} s" if count else None


def tasks(subject: Subject) -> str | None:
    """supports() returns None, or why the strategy leaves a task out. The tables show the reason."""
    for title, reason in subject.refused.items():
        if not (isinstance(reason, str) and reason.strip()):
            raise Failed(f"supports() returned {reason!r} for the {title}: return None, or the reason as a text")
    left_out = "; ".join(f"{title} left out: {reason}" for title, reason in subject.refused.items())
    one = f"checked on one task only, the {subject.tasks[0].task.title}" if len(subject.tasks) == 1 else None
    return left_out or one
