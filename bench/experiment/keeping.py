"""Which students of a grid are kept, by a rule that looks at their size, said before anything is trained."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from bench.errors import UsageError
from bench.experiment.launch import CellJob
from bench.experiment.parts import Parts
from bench.files import in_bytes
from bench.models.load import build_scratch, classifier_of, load_config, locate
from bench.models.reshape import keep_layers
from bench.observer import Observer

RULES = ("auto", "all", "last-seed", "none")
MOST, SHARE_OF_FREE = 10 * 10**9, 0.25
"""Under "auto", the most bytes that the students of one command take, and the largest share of what is free."""


def keeping(jobs: Sequence[CellJob], rule: str, results: Path, observer: Observer) -> list[CellJob]:
    """Return ``jobs``, marked where ``rule`` keeps their student; tell ``observer`` how much that takes.

    "auto" keeps all students where together they take at most 10 GB and a quarter of the free space: comparing
    strategies beyond dev needs every seed. Else it keeps those of each strategy's highest seed within the same
    bounds, else none. What is asked for and does not fit at all is a UsageError.
    """
    if not jobs or rule == "none":
        return list(jobs)
    size = cache(student_bytes)
    free = shutil.disk_usage(results).free
    every, last = set(range(len(jobs))), _last_seeds(jobs)
    taken = {
        name: sum(size(jobs[i].parts, jobs[i].cell.task.name) for i in which)
        for name, which in (("all", every), ("last-seed", last))
    }
    room = min(MOST, SHARE_OF_FREE * free)
    if rule == "auto":
        rule = next((name for name in ("all", "last-seed") if taken[name] <= room), "none")
        if rule == "none":
            observer.note(
                f"students are not kept: those of the last seed alone take {in_bytes(taken['last-seed'])}, of "
                f"{in_bytes(free)} free; --keep-students last-seed keeps them all the same"
            )
            return list(jobs)
    if taken[rule] > free:
        raise UsageError(
            f"--keep-students {rule} takes about {in_bytes(taken[rule])}, but {in_bytes(free)} are free at {results}; "
            f"make room, or keep fewer: --keep-students {'last-seed' if rule == 'all' else 'none'}"
        )
    kept = every if rule == "all" else last
    which = f"of all {len(kept)} cells" if rule == "all" else f"of the last seed, {len(kept)} of {len(jobs)} cells"
    observer.note(
        f"students {which} are kept: about {in_bytes(taken[rule])} of {in_bytes(free)} free (--keep-students)"
    )
    return [dataclasses.replace(job, keep=number in kept) for number, job in enumerate(jobs)]


def _last_seeds(jobs: Sequence[CellJob]) -> set[int]:
    last: dict[tuple[str, str, str], int] = {}
    for number, job in enumerate(jobs):
        key = (job.cell.signature, job.cell.task.name, str(job.cell.strategy))
        if key not in last or job.cell.seed > jobs[last[key]].cell.seed:
            last[key] = number
    return set(last.values())


def student_bytes(parts: Parts, task: str) -> int:
    """Return about how many bytes a student of ``task`` takes on disk; no weights are made or read for it."""
    settings, origin = parts.settings, parts.origin("student")
    model = getattr(settings, origin).model
    with torch.device("meta"):
        if model == "scratch":
            student = build_scratch(parts.shape("student"), parts.tokenizer("student"), 0, parts.source.tasks[task])
        else:
            student = classifier_of(load_config(locate(model)), parts.source.tasks[task])
        if origin == "generator":
            student = keep_layers(student, settings.generator.layers)
        student = keep_layers(student, settings.student.layers)
    # Weights in fp32, and some fifty bytes a word piece for the tokenizer's files.
    return 4 * student.num_parameters() + 50 * len(parts.tokenizer("student"))
