"""Attacking the students of finished runs: each run and recipe once, each row of a student once, many rows together."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.data.encode import encode
from bench.data.tasks import Example
from bench.errors import BenchError
from bench.evaluation.predict import predict
from bench.evaluation.text_quality import cosines_of, edit_rate
from bench.experiment.attack_setting import Sample, Samples, Settings, generators
from bench.experiment.evaluating import Made, Student
from bench.experiment.provenance import provenance
from bench.experiment.recipes import Recipe
from bench.files import digest
from bench.locks import Lock
from bench.models.inputs import Role
from bench.models.sentences import sentence_encoder
from bench.observer import Observer
from bench.reporting.evaluations import AttackSection, Evaluation, evaluation_file, there, write_evaluation
from bench.reporting.kept import in_words, student_of
from bench.reporting.schema import Done, Main, Provenance
from bench.rewriter import Context
from bench.rewriting.engine import Rewritten, rewrite_all
from bench.rewriting.identity import identity
from bench.rewriting.workers import Pool

_ROW_SECONDS = 600.0
_CHUNK_SECONDS = 20.0
_OWN: Role = "student"
_DOING = "attack"


@dataclass
class Attacks(Made):
    """What ``attack_runs`` did, and in words what it left out and what it failed at."""

    left_out: dict[str, None] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Work:
    """A recipe on the student of a run."""

    run: Done
    recipe: Recipe
    student: Path
    sample: Sample
    context: Context
    fingerprint: str


def attack_runs(
    results: Path, runs: Sequence[Done], recipes: Sequence[Recipe], settings: Settings, observer: Observer
) -> Attacks:
    """Attack the students of ``runs`` with ``recipes``; what is there already stays.

    What cannot be done is known before anything is: recipes whose resources are missing here, tasks they do not do,
    runs without a student. BenchError where nothing is left.
    """
    attacks = Attacks()
    work = _planned(results, runs, recipes, settings, observer, attacks)
    if not work and attacks.left_out:
        raise BenchError("nothing can be attacked:\n" + "\n".join(attacks.left_out))
    waiting = deque((each, False) for each in work)
    with Pool() as pool:
        while waiting:
            each, is_last = waiting.popleft()
            lock = Lock(evaluation_file(results / each.run.folder, each.recipe.name))
            if not lock.take(wait=False):
                if not is_last:
                    # Another command is at it; there may be others to do meanwhile.
                    waiting.append((each, True))
                    continue
                observer.note(f"waiting for {each.recipe.title} on {in_words(each.run)}: {lock.owner()} is at it")
                lock.take(wait=True)
            try:
                _attack_once(
                    results, each, settings, observer, pool, attacks, f"[{len(work) - len(waiting)}/{len(work)}]"
                )
            except BenchError as error:  # the next student may be fine
                attacks.failed.append(f"{each.recipe.title} on {in_words(each.run)}: {error}")
                observer.note(attacks.failed[-1])
            finally:
                lock.release()
    return attacks


def _planned(
    results: Path,
    runs: Sequence[Done],
    recipes: Sequence[Recipe],
    settings: Settings,
    observer: Observer,
    attacks: Attacks,
) -> list[_Work]:
    able = []
    for recipe in recipes:
        if lacks := recipe.lacking():
            attacks.left_out[f"{recipe.title}: {lacks}"] = None
        else:
            able.append(recipe)
    samples, generator_of = Samples(settings), generators(results, settings, observer)
    work = []
    for run in runs if able else ():
        try:
            student = student_of(results, run, observer)
        except BenchError as error:
            attacks.lacking.append(str(error))
            continue
        sample = samples.of(run)
        for recipe in able:
            if reason := recipe.strategy.supports(sample.task):
                attacks.left_out[f"{recipe.title} on {run.task}: {reason}"] = None
                continue
            roles: dict[Role, tuple[str, str]] = {
                _OWN: (str(student), run.student.hash if run.student else ""),
                **({"generator": generator_of(run)} if "generator" in recipe.rewriter.reads() else {}),
            }
            context = Context(
                sample.task,
                {role: folder for role, (folder, _) in roles.items()},
                {role: hashed for role, (_, hashed) in roles.items()},
                settings.device,
            )
            work.append(_Work(run, recipe, student, sample, context, _fingerprint(recipe, sample, context)))
    return work


def _fingerprint(recipe: Recipe, sample: Sample, context: Context) -> str:
    """Return what is the same for students that are attacked in the same way on the same rows."""
    attack = identity(recipe.rewriter, context, 0, 0)
    others = {role: hashed for role, hashed in context.digests.items() if role != _OWN}
    return digest({**attack, "models": others}, sample.fingerprint, [row.id for row in sample.rows])


def _attack_once(
    results: Path, work: _Work, settings: Settings, observer: Observer, pool: Pool, attacks: Attacks, number: str
) -> None:
    folder, run = results / work.run.folder, work.run
    earlier = None if settings.redo else there(folder, work.recipe.name)
    hashed = work.context.digests[_OWN]
    if earlier is not None and (earlier.fingerprint, earlier.student) == (work.fingerprint, hashed):
        attacks.evaluations.append((run, earlier))
        return
    observer.note(f"{number} {work.recipe.title}: {in_words(run)}, {len(work.sample.rows)} rows")
    observer.update(_DOING, 0, len(work.sample.rows))
    start = time.perf_counter()
    attacked = rewrite_all(
        work.recipe.rewriter,
        work.sample.rows,
        work.context,
        name=work.recipe.title,
        workers=settings.workers,
        cache=results / "cache",
        observer=observer,
        row_seconds=_ROW_SECONDS,
        chunk_seconds=_CHUNK_SECONDS,
        pool=pool,
        doing=_DOING,
    )
    evaluation, columns = _scored(work, attacked, settings)
    evaluation.seconds = round(time.perf_counter() - start, 3)
    write_evaluation(folder, evaluation, columns)
    attacks.evaluations.append((run, evaluation))
    attacks.fresh += 1


def _scored(work: _Work, attacked: Rewritten, settings: Settings) -> tuple[Evaluation, dict[str, Any]]:
    """Return the scores of an attack, and a column for each thing that is known of the rows."""
    rows, task, run = work.sample.rows, work.sample.task, work.run
    forms = [forms[0] for forms in attacked.forms]
    outcomes = np.array([row.outcome or "failed" for row in attacked.rows])
    labels = np.array([row.label for row in rows])
    predictions = _predictions(Student(work.student), rows, forms, outcomes, labels)
    turned, tried = outcomes == "success", np.isin(outcomes, ["success", "failure"])
    right = tried | ((outcomes == "failed") & (predictions == labels))
    changed = np.array([edit_rate(row.texts, form) for row, form in zip(rows, forms, strict=True)])
    alike = np.full(len(rows), np.nan)
    if turned.any() and sentence_encoder().ready():
        pairs = [(rows[row].texts, forms[row]) for row in np.flatnonzero(turned).tolist()]
        alike[turned] = [float(np.mean(cosines)) for cosines in cosines_of(pairs, settings.device)]
    queries = np.array([row.queries for row in attacked.rows])
    section = AttackSection(
        recipe=work.recipe.title,
        strategy=str(work.recipe.spec),
        budget=settings.budget,
        clean=float(right.mean()),
        attacked=int(tried.sum()),
        success=_mean(turned[tried]),
        queries=_mean(queries[tried]),
        words_changed=_mean(changed[turned]),
        similarity=_mean(alike[turned & np.isfinite(alike)]),
        failed=int((outcomes == "failed").sum()),
        instead=list(work.recipe.notes),
    )
    accuracy = float((predictions == labels).mean())
    evaluation = Evaluation(
        name=work.recipe.name,
        title=f"accuracy under attack by {work.recipe.title}",
        id=run.id,
        task=run.task,
        student=work.context.digests[_OWN],
        fingerprint=work.fingerprint,
        source=work.sample.source,
        variant=f"at most {settings.budget:,} queries a row",
        rows=len(rows),
        official=work.sample.of,
        classes=list(task.labels),
        main=Main(work.recipe.name, "accuracy", accuracy),
        metrics={"accuracy": accuracy},
        attack=section,
        provenance=msgspec.convert(provenance(), Provenance),
    )
    texts = {f"text_{side}": [form[side] for form in forms] for side in range(len(task.texts))}
    columns = {
        "id": [row.id for row in rows],
        "label": labels,
        "prediction": predictions,
        "outcome": outcomes,
        "queries": queries,
        "words_changed": changed,
        "similarity": alike,
        **texts,
    }
    return evaluation, columns


def _predictions(
    student: Student,
    rows: Sequence[Example],
    forms: Sequence[tuple[str, ...]],
    outcomes: np.ndarray,
    labels: np.ndarray,
) -> np.ndarray:
    """Return the class [N] that the student gives each row as the attack left it.

    Where two classes are as good as tied, what else is read in a batch may decide: then it is as the attack saw it.
    """
    left = [dataclasses.replace(row, texts=tuple(form)) for row, form in zip(rows, forms, strict=True)]
    encoded = encode(left, student.tokenizer, student.max_length, is_regression=False)
    logits = predict(student.model, encoded, student.accelerator)
    best = logits.argmax(axis=1)
    others = logits.copy()
    others[np.arange(len(rows)), labels] = -np.inf
    wrong = np.isin(outcomes, ["success", "skipped"])
    best = np.where(wrong, others.argmax(axis=1), best)
    return np.where(outcomes == "failure", labels, best)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
