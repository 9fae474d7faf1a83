"""One cell from start to record: assemble, train, score, write the record last."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from transformers import PreTrainedModel

from bench.data.encode import Encoded
from bench.data.tasks import Example, Task
from bench.distill.adversary_gain import gain_of_adversary
from bench.distill.view_quality import quality_of_views
from bench.errors import BenchError
from bench.evaluation.metrics import against_constant, score
from bench.evaluation.selection import Selection
from bench.experiment.assembly import assembled
from bench.experiment.card import model_card
from bench.experiment.grid import Cell
from bench.experiment.parts import Parts
from bench.experiment.provenance import COMMAND, provenance
from bench.experiment.search import searched
from bench.files import remove, remove_unfinished, whole_file, write_json
from bench.locks import Lock
from bench.models.keep import keep_classifier
from bench.models.load import content_hash
from bench.observer import Observer
from bench.remote import mirror
from bench.remote.leases import Lost
from bench.remote.store import StoreError
from bench.reporting.records import STUDENT, read_record
from bench.reporting.schema import SCHEMA
from bench.rewriting.job import in_a_line
from bench.spec import lacking

_LETS_GO_SECONDS = 5.0
"""How long a lock may stay after the process that had it was killed."""


def run_cell(cell: Cell, parts: Parts, results: Path, observer: Observer, *, keep: bool = False) -> dict[str, Any]:
    """Run ``cell`` and return its record, which is also on disk; ``keep`` its student in the folder ``student``.

    What goes wrong inside the cell makes a record with status "failed" and the reason; the traceback is in
    ``error.txt`` beside it. A task that the strategy does not support, or something it needs and does not find on
    this machine, makes one with status "skipped".
    """
    folder = cell.folder(results)
    folder.mkdir(parents=True, exist_ok=True)
    # Nobody else writes here while this process has the cell.
    for place in (folder, folder / "predictions"):
        remove_unfinished(place)
    # Nor is anything written where a link in somebody's results leads.
    for name in ("checkpoint", "predictions"):
        if (folder / name).is_symlink():
            (folder / name).unlink()
    # It belongs to the record that is about to be written anew.
    remove(folder / STUDENT)
    started, record = _now(), _begun(cell)
    write_json(folder / "spec.json", record | {"status": "started"})
    try:
        if reason := cell.instance.supports(cell.task) or lacking(cell.instance):
            record |= {"status": "skipped", "reason": str(reason)}
        else:
            sections, student = _train(cell, parts, results, folder, observer)
            record |= sections
            record["student"] = _student(student, record | _origin(started), cell, parts, folder, keep, observer)
    except StoreError:  # the cell is not to blame, and goes on from its checkpoint
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - recorded and shown; the next cell may be fine
        text = traceback.format_exc()
        try:
            with whole_file(folder / "error.txt") as part:
                part.write_text(text, "utf-8", "backslashreplace")
        except BenchError as unwritten:  # a full disk, say: the record may still fit, and the next cells
            observer.note(str(unwritten))
        record |= {"status": "failed", "reason": in_a_line(error).encode(errors="backslashreplace").decode()}
    return _ended(record, started, folder)


def failed_record(cell: Cell, results: Path, reason: str, *, wait: bool = False) -> dict[str, Any] | None:
    """Return the record of a cell whose process is no more: what it or another one left, else that it has failed.

    A process may die when all is written and before it could say so, and another machine may have taken the cell over.
    None where somebody has the cell at this moment and ``wait`` is not asked for.
    """
    folder, lock = cell.folder(results), Lock(cell.folder(results))
    until = time.monotonic() + _LETS_GO_SECONDS
    while not lock.take(wait=wait):
        if time.monotonic() > until:
            return None
        time.sleep(0.1)
    try:
        mirror.bring(folder)
        with contextlib.suppress(BenchError):  # nobody can read that one
            if (record := read_record(folder)) is not None and record["status"] != "failed":
                return record
        return _ended(_begun(cell) | {"status": "failed", "reason": reason}, _now(), folder)
    except Lost:  # to another machine, which makes the record
        return None
    finally:
        lock.release()


def _begun(cell: Cell) -> dict[str, Any]:
    """Return what the record says of a cell before it runs."""
    return {
        "schema": SCHEMA,
        "id": cell.id,
        "status": "done",
        "reason": None,
        "preset": cell.settings.preset,
        "task": cell.task.name,
        "strategy": str(cell.strategy),
        "strategy_options": cell.strategy.effective(cell.settings.recipe),
        "seed": cell.seed,
        "spec": {**cell.settings.to_dict(), "source": cell.source, "fingerprint": cell.fingerprint},
        "signature": cell.signature,
        "tuned": None if cell.tuned is None else msgspec.to_builtins(cell.tuned),
        "searched": searched(cell.strategy.as_shipped()),
        "verified": cell.strategy.verified(),
    }


def _ended(record: dict[str, Any], started: str, folder: Path) -> dict[str, Any]:
    """Write the record and return it as it stands on disk."""
    record = record | _origin(started)
    write_json(folder / "record.json", record)
    if record["status"] == "done":
        remove(folder / "checkpoint")
        if (folder / "error.txt").exists():
            remove(folder / "error.txt")
    # Read back: what is handed on is what stays, and what stays is what a record may hold.
    written = read_record(folder)
    assert written is not None
    return written


def _origin(started: str) -> dict[str, Any]:
    return {
        "provenance": {
            **provenance(),
            "started": started,
            "finished": _now(),
            "command": COMMAND.get() or shlex.join(["bench", *sys.argv[1:]]),
        }
    }


def _student(
    student: PreTrainedModel,
    record: dict[str, Any],
    cell: Cell,
    parts: Parts,
    folder: Path,
    keep: bool,
    observer: Observer,
) -> dict[str, Any]:
    """Keep the student if that is asked for; return what the record says of it, also where it could not be written."""
    section = {"hash": content_hash(student), "parameters": student.num_parameters(), "kept": keep, "reason": None}
    if keep:
        try:
            keep_classifier(
                student,
                parts.tokenizer("student"),
                cell.task,
                folder / STUDENT,
                max_length=cell.settings.data.max_length,
                card=model_card(record, cell.task),
            )
        except StoreError:
            raise
        except BenchError as error:  # a full disk, say: the scores are there, and are not lost for it
            observer.note(f"the student is not kept: {error}")
            section |= {"kept": False, "reason": in_a_line(error)}
    return section


def _train(
    cell: Cell, parts: Parts, results: Path, folder: Path, observer: Observer
) -> tuple[dict[str, Any], PreTrainedModel]:
    """Return the sections of the record that training makes, and the student."""
    ready = assembled(cell, parts, results, observer)
    task, settings, data, splits = cell.task, cell.settings, ready.data, ready.splits
    models, strategy, rule, feed, cost = ready.models, ready.strategy, ready.rule, ready.feed, ready.models.cost
    with parts.followers.together("student", cell.id):
        outcome = ready.distil()
    # A follower's rows (AX, predicted by MNLI's model) carry no labels in GLUE and are only predicted.
    labelled = {name: split for name, split in splits.items() if name in outcome.logits and _has_labels(split)}
    metrics = {}
    for name, split in labelled.items():
        reported = rule.rows_to_report(len(split)) if name == "dev" else np.arange(len(split))
        metrics[name] = score(task, outcome.logits[name][reported], split.labels[reported])
    for name, values in outcome.logits.items():
        _write_predictions(folder / "predictions" / f"{name}.parquet", splits[name], values, task.is_regression)
    _write_lines(folder / "curve.jsonl", outcome.curve)
    with cost.timed("adversary_gain"):
        start = models
        if models.generator is not None and cost.adversary_updates:
            generator = parts.fresh_generator().to(parts.accelerator.device)
            start = dataclasses.replace(models, generator=generator)
        adversary = gain_of_adversary(strategy, models, start, feed)
    with cost.timed("text_quality"):
        judged = quality_of_views(strategy, models, feed, ready.recipe, splits["dev"])
    if judged.samples:
        _write_lines(folder / "samples.jsonl", judged.samples)
    sections = {
        "data": {
            "source": data.source,
            "fingerprint": data.fingerprint,
            "texts": len(task.texts),
            "rows": data.rows,
            "official": {split: count for split, count in task.rows.items() if count is not None},
            "max_train": settings.data.max_train,
            "train_rows": settings.data.train_rows,
            "truncated": {name: split.truncated for name, split in splits.items()},
        },
        "teacher": ready.teacher.card if ready.teacher else None,
        "generator": parts.generator.card if "generator" in strategy.needs else None,
        "main": {"split": "dev", "metric": task.main_metric, "value": metrics["dev"][task.main_metric]},
        "metrics": metrics,
        "selection": {"rule": rule.name, "optimistic": rule.optimistic, "step": outcome.step},
        "budget": ready.budget,
        "cost": cost.summary(),
        "adversary": adversary,
        "text_quality": judged.quality,
        "checks": _checks(task, data.splits, outcome.logits["dev"], splits["dev"], rule),
        "resumed": outcome.resumed,
    }
    return sections, models.student


def _checks(
    task: Task, rows: Mapping[str, Sequence[Example]], logits: np.ndarray, dev: Encoded, rule: Selection
) -> dict[str, Any]:
    """Return what shows that the score on ``dev``, for which the student has ``logits`` [N, C], means nothing."""
    reported = rule.rows_to_report(len(dev))
    answers = logits[reported, 0] if task.is_regression else logits[reported].argmax(axis=1)
    train = {example.texts for example in rows["train"]}
    return {
        "constant": against_constant(task, logits[reported], dev.labels[reported])["constant"],
        "most_predicted": np.unique(answers, return_counts=True)[1].max() / len(reported),
        "dev_in_train": sum(example.texts in train for example in rows["dev"]),
    }


def _has_labels(split: Encoded) -> bool:
    missing = np.isnan(split.labels) if split.labels.dtype.kind == "f" else split.labels < 0
    return not missing.any()


def _write_predictions(path: Path, split: Encoded, logits: np.ndarray, is_regression: bool) -> None:
    import pandas as pd

    columns: Mapping[str, Any] = {
        "id": split.example_ids,
        "label": split.labels,
        **{f"logit_{i}": logits[:, i] for i in range(logits.shape[1])},
        "prediction": logits[:, 0] if is_regression else logits.argmax(axis=1),
    }
    with whole_file(path) as part:
        pd.DataFrame(columns).to_parquet(part, index=False)


def _write_lines(path: Path, lines: Iterable[Any]) -> None:
    with whole_file(path) as part:
        part.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
