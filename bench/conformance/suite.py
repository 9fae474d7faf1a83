"""The kit: every check a strategy is put through, in order, and what came out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench.conformance import registration as spelling
from bench.conformance import rewriting, training
from bench.conformance.subject import Skipped, Subject, told
from bench.spec import StrategySpec

Check = Callable[[Subject], str | None]
"""Returns None or a remark; raises Failed with what was seen and what to do, or Skipped with the reason."""

CHECKS: tuple[Check, ...] = (
    spelling.described,
    spelling.options,
    spelling.elsewhere,
    spelling.quick_to_list,
    spelling.resources,
    spelling.tasks,
    rewriting.forms,
    rewriting.odd_texts,
    rewriting.seeded,
    rewriting.varied,
    rewriting.rows_alone,
    rewriting.rows_untouched,
    rewriting.rewriting_keeps_global_state,
    rewriting.workers,
    training.trains,
    training.views,
    training.batch_untouched,
    training.teacher_untouched,
    training.student_untouched,
    training.training_keeps_global_state,
    training.counts_its_cost,
    training.repeats,
    training.resumes,
    training.bounded_memory,
)


@dataclass(frozen=True)
class Finding:
    """What one check found: ``detail`` says what was seen and what to do, why it was skipped, or a remark."""

    check: str
    outcome: Literal["passed", "failed", "skipped"]
    detail: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        return asdict(self)


def examine(spec: StrategySpec) -> Iterator[Finding]:
    """Yield what each check finds of the strategy, as it is found.

    Without its resources a strategy cannot be checked: the checks after that one are skipped.
    """
    ready = True
    with tempfile.TemporaryDirectory(prefix="bench-check-") as folder:
        subject = Subject(spec, Path(folder))
        for check in CHECKS:
            start = time.perf_counter()
            outcome, detail = _outcome(check, subject) if ready else ("skipped", "not ready (see resources)")
            ready = ready and not (check is spelling.resources and outcome == "failed")
            yield Finding(check.__name__.replace("_", " "), outcome, detail, round(time.perf_counter() - start, 2))


def _outcome(check: Check, subject: Subject) -> tuple[Literal["passed", "failed", "skipped"], str]:
    try:
        return "passed", check(subject) or ""
    except Skipped as reason:
        return "skipped", str(reason)
    except Exception as error:  # noqa: BLE001 - what a strategy may raise is not known; it is what the check found
        return "failed", told(error)
