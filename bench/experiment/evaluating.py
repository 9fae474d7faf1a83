"""Evaluating finished runs on sets beyond their own dev: each run and set once, as long as neither changes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.data.beyond.reading import LoadedSet, load_set
from bench.data.beyond.sets import EvaluationSet
from bench.data.tasks import GLUE
from bench.errors import BenchError, UsageError
from bench.evaluation.out_of_domain import answer, check_task
from bench.experiment.provenance import provenance
from bench.models.accelerator import PreciseAccelerator
from bench.models.load import explained, load_tokenizer
from bench.observer import Observer
from bench.reporting.evaluations import Evaluation, there, write_evaluation
from bench.reporting.kept import in_words, student_of
from bench.reporting.schema import Done, Main, Provenance


@dataclass
class Made:
    """What ``evaluate_runs`` did: evaluations with their runs, how many it made, and runs without a student."""

    evaluations: list[tuple[Done, Evaluation]] = field(default_factory=list)
    fresh: int = 0
    lacking: list[str] = field(default_factory=list)


def evaluate_runs(
    results: Path,
    runs: Sequence[Done],
    sets: Mapping[str, Mapping[str, EvaluationSet]],
    folders: Sequence[Path],
    observer: Observer,
    *,
    most: int | None = None,
    redo: bool = False,
) -> Made:
    """Evaluate ``runs`` on those of ``sets`` that belong to their tasks; what is there already stays.

    All sets are read before any student is, so that a damaged one is known at once. Raises UsageError where no set
    belongs to any run's task.
    """
    work = [(run, [sets[name][run.task] for name in sets if run.task in sets[name]]) for run in runs]
    if not any(entries for _, entries in work):
        belong = "; ".join(f"{name}: {', '.join(by_task)}" for name, by_task in sets.items())
        raise UsageError(f"none of these sets belongs to a task of the runs chosen; they belong to: {belong}")
    evaluated, total, done = Made(), sum(len(entries) for _, entries in work), 0
    students: dict[str, Path] = {}
    for run, entries in work:
        if not entries:
            continue
        try:
            students[run.folder] = student_of(results, run, observer)
        except BenchError as error:
            evaluated.lacking.append(str(error))
    loaded: dict[tuple[str, str, tuple[str, ...]], LoadedSet] = {}
    for run, entries in work:
        for entry in entries:
            if run.folder in students:
                own = _classes(students[run.folder])
                key = (entry.name, run.task, own)
                if key not in loaded:
                    loaded[key] = load_set(entry, own, folders, most)
                    entry.scored(own)  # its labels map, or nothing begins
                    texts = run.data.texts or (len(GLUE[run.task].texts) if run.task in GLUE else None)
                    if texts is not None:
                        check_task(loaded[key], texts, run.task)
    for run, entries in work:
        student: Student | None = None
        for entry in entries:
            done += 1
            if run.folder not in students:
                continue
            data = loaded[entry.name, run.task, _classes(students[run.folder])]
            earlier = None if redo else there(results / run.folder, entry.name)
            hashed = run.student.hash if run.student else ""
            if earlier is not None and (earlier.fingerprint, earlier.student) == (data.fingerprint, hashed):
                evaluated.evaluations.append((run, earlier))
                continue
            observer.note(f"[{done}/{total}] {entry.name}: {in_words(run)}")
            student = student or Student(students[run.folder])
            evaluated.evaluations.append((run, _evaluate(results / run.folder, run, student, data)))
            evaluated.fresh += 1
    return evaluated


def _classes(student: Path) -> tuple[str, ...]:
    """Return the names of the student's classes, in order; none where it gives scores."""
    import json

    config = json.loads((student / "config.json").read_text("utf-8"))
    if config.get("problem_type") == "regression":
        return ()
    names = config["id2label"]
    return tuple(names[str(number)] for number in range(len(names)))


class Student:
    """A student loaded from its folder, ready to answer."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForSequenceClassification

        self.own = _classes(folder)
        with explained(str(folder)):
            model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)
        self.tokenizer = load_tokenizer(str(folder))
        self.max_length = int(self.tokenizer.model_max_length)
        self.accelerator = PreciseAccelerator()
        self.model = model.float().eval().to(self.accelerator.device)


def _evaluate(folder: Path, run: Done, student: Student, data: LoadedSet) -> Evaluation:
    start, entry = time.perf_counter(), data.entry
    given = answer(student.model, student.tokenizer, student.own, data, student.accelerator, student.max_length)
    main = entry.metrics[0]
    evaluation = Evaluation(
        name=entry.name,
        title=entry.title,
        id=run.id,
        task=run.task,
        student=run.student.hash if run.student else "",
        fingerprint=data.fingerprint,
        source=data.source,
        variant=data.variant,
        rows=len(data.examples),
        official=data.official,
        classes=list(given.classes),
        main=Main(entry.name, main, given.metrics[main]),
        metrics=dict(given.metrics),
        groups={name: (value, rows) for name, (value, rows) in given.groups.items()},
        constant=given.constant,
        most_predicted=given.most_predicted,
        truncated=given.truncated,
        seconds=round(time.perf_counter() - start, 3),
        licence=entry.licence,
        citation=entry.citation,
        provenance=msgspec.convert(provenance(), Provenance),
    )
    columns: dict[str, Any] = {
        "id": given.ids,
        "label": given.labels,
        **{f"logit_{number}": given.logits[:, number] for number in range(given.logits.shape[1])},
        "prediction": given.predictions,
    }
    write_evaluation(folder, evaluation, columns)
    return evaluation
