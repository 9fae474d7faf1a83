"""Every check a strategy is put through, in order, and what came out of each."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.conformance import Skipped, registration, rewriting, training
from bench.conformance.subject import Subject
from bench.rewriting.job import in_a_line
from bench.rewriting.workers import Pool
from bench.spec import StrategySpec

Check = Callable[[Subject], str | None]
"""Returns None or a remark; raises Failed with what was seen and what to do, or Skipped with the reason."""

CHECKS: dict[Check, str] = {
    registration.described: "has a description",
    registration.options: "options survive being written down",
    registration.elsewhere: "is the same in another process",
    registration.quick_to_list: "is listed without heavy imports",
    registration.resources: "has all it needs on this machine",
    registration.tasks: "gives a reason for tasks left out",
    rewriting.forms: "as many forms of every row",
    rewriting.odd_texts: "takes empty, long and foreign texts",
    rewriting.seeded: "same seed, same texts",
    rewriting.varied: "other seeds, other texts",
    rewriting.rows_alone: "a row's texts depend on no other row",
    rewriting.rows_untouched: "changes only what may change",
    rewriting.rewriting_keeps_global_state: "rewriting leaves global state alone",
    rewriting.workers: "same texts in worker processes",
    training.trains: "trains on every small task",
    training.views: "views fit the batch",
    training.batch_untouched: "leaves the clean batch as it is",
    training.teacher_untouched: "leaves the teacher as it is",
    training.student_untouched: "leaves the student to the harness",
    training.training_keeps_global_state: "training leaves global state alone",
    training.counts_its_cost: "counts what it costs",
    training.repeats: "same seed, same student",
    training.resumes: "resumes exactly where it was cut off",
    training.climbs: "its adversary climbs",
    training.bounded_memory: "memory does not grow by the update",
}
"""Every check with what it demands, in the order in which they are made; its docstring says why."""


@dataclass(frozen=True)
class Finding:
    """What one check found: ``detail`` says what was seen and what to do, why it was skipped, or a remark.

    ``check`` is its short name, ``demand`` what it asks of a strategy.
    """

    check: str
    demand: str
    outcome: Literal["passed", "failed", "skipped"]
    detail: str
    seconds: float


def examine(spec: StrategySpec, pool: Pool | None = None) -> Iterator[Finding]:
    """Yield what each check finds of the strategy, as it is found.

    Without its resources a strategy cannot be checked: the checks after that one are skipped. Its rewriting processes
    are its own, lest what another strategy leaves in one is found of it, or those of ``pool``, which start sooner.
    """
    ready = True
    with tempfile.TemporaryDirectory(prefix="bench-check-") as folder, Pool() as own:
        subject = Subject(spec, Path(folder), own if pool is None else pool)
        for check, demand in CHECKS.items():
            start = time.perf_counter()
            outcome, detail = _outcome(check, subject) if ready else ("skipped", "it lacks what it needs")
            ready = ready and not (check is registration.resources and outcome == "failed")
            seconds = round(time.perf_counter() - start, 2)
            yield Finding(check.__name__.replace("_", " "), demand, outcome, detail, seconds)


def _outcome(check: Check, subject: Subject) -> tuple[Literal["passed", "failed", "skipped"], str]:
    try:
        return "passed", check(subject) or ""
    except Skipped as reason:
        return "skipped", str(reason)
    except Exception as error:  # noqa: BLE001 - what a strategy may raise is not known; it is what the check found
        return "failed", in_a_line(error)
