"""What a strategy's views, decoded to texts, are like at the end of a run."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.cost import Cost
from bench.data.encode import Encoded
from bench.distill.feed import Feed
from bench.distill.shown import texts_per_row
from bench.evaluation.text_quality import label_quality, similarity, teacher_stddev, text_quality
from bench.settings import Recipe
from bench.strategy import Models, Strategy, View

# Rows whose views are judged: enough for a percent, few enough to take seconds.
_JUDGED = 256
# Of these a run keeps so many to look at, of each so many forms.
_SAMPLES, _FORMS = 6, 3


class Judged(NamedTuple):
    """What is known of a strategy's texts."""

    quality: dict[str, Any] | None = None
    """The record's section ``text_quality``; None where the student is shown nothing."""
    samples: Sequence[dict[str, Any]] = ()
    """The first of the rows judged: {"row", "before": its texts, "after": its forms, each as many texts}."""


def quality_of_views(strategy: Strategy, models: Models, feed: Feed, recipe: Recipe, dev: Encoded) -> Judged:
    """Return the text quality of what ``strategy`` shows the student, and samples of it.

    Views of a fixed sample of ``feed``'s rows, as in the last epoch with views, are judged by the final student, the
    teacher and a sentence encoder. Of views that are no texts there is what the teacher makes of them.
    """
    if feed.teacher_logits is None:
        return Judged()
    different_texts = texts_per_row(models.cost)
    rows = np.sort(np.random.default_rng(0).permutation(len(feed.train))[:_JUDGED])
    size, updates = recipe.batch_size, models.cost.student_updates
    rewriting = dict(models.cost.rewritten)
    # What judging costs is no cost of the run.
    models = dataclasses.replace(models, cost=Cost(student_updates=updates), training=False)
    models.student.eval()
    before: list[tuple[str, ...]] = []
    after: list[list[tuple[str, ...]]] = []
    logits: dict[str, list[torch.Tensor]] = defaultdict(list)
    answers: list[torch.Tensor] = []
    of_row: list[np.ndarray] = []
    origin: list[np.ndarray] = []
    changed: list[bool] = []
    for start in range(0, len(rows), size):
        batch = feed.batch(rows[start : start + size], feed.epoch)
        shown = answered_views(strategy.views(batch, models))
        if not shown:
            return Judged()
        assert batch.teacher_logits is not None
        with torch.no_grad():
            targets = [models.teacher_targets(view, batch) for view in shown]
            logits["teacher_before"].append(batch.teacher_logits)
            # Where the teacher reads the clean text alone, as beside moved embeddings, it is asked about no change.
            read = [target for view, target in zip(shown, targets, strict=True) if _teacher_reads(view)]
            answers += read
            of_row += [start + np.arange(len(batch.rows))] * len(read)
            logits["student_before"].append(models.logits("student", batch.inputs))
            if not (views := [view for view in shown if is_text(view)]):
                continue
            for view, target in zip(shown, targets, strict=True):
                if is_text(view):
                    logits["teacher_after"].append(target)
                    logits["student_after"].append(models.logits("student", view.student))
                    origin.append(start + np.arange(len(batch.rows)))
        originals = [decoded(ids, models) for ids in batch.inputs["input_ids"].tolist()]
        forms = [[decoded(ids, models) for ids in view.student["input_ids"].tolist()] for view in views]
        changed += [form != texts for view in forms for form, texts in zip(view, originals, strict=True)]
        before += originals
        after += [list(row) for row in zip(*forms, strict=True)]
    stacked = {name: torch.cat(parts).cpu().numpy() for name, parts in logits.items()}
    spread = None
    if answers:
        asked, rows_asked = torch.cat(answers).cpu().numpy(), np.concatenate(of_row)
        spread = teacher_stddev(models.task, stacked["teacher_before"], asked, rows_asked)
    if not after:
        return Judged(None if spread is None else {"teacher_stddev": spread})
    similar = similarity(before, after, models.accelerator.device.type)
    dev_texts = [decoded(ids.tolist(), models) for ids in np.split(dev.ids, dev.offsets[1:-1])]
    forms_made = rewriting.pop("forms", 0)
    quality = {
        **text_quality(before, after, dev=dev_texts),
        **label_quality(models.task, **stacked, rows=np.concatenate(origin), changed=np.array(changed)),
        "teacher_stddev": spread,
        "texts_per_row": different_texts,
        "similarity": similar,
        "similarity_all": None if similar is None else 1 - float(np.mean(changed)) * (1 - similar),
        **({"truncated": rewriting.pop("truncated", 0) / forms_made, "rewriting": rewriting} if forms_made else {}),
    }
    # Drawn before anything was rewritten, and the same for every strategy of a task: none is chosen for its looks.
    samples = [
        {"row": int(row), "before": texts, "after": forms[:_FORMS]}
        for row, texts, forms in list(zip(rows, before, after, strict=False))[:_SAMPLES]
    ]
    return Judged(quality, samples)


def is_text(view: View) -> bool:
    """Return whether ``view`` is made of word pieces."""
    return "input_ids" in view.student


def _teacher_reads(view: View) -> bool:
    return view.teacher is not None or view.teacher_logits is not None


def answered_views(views: Iterator[View]) -> list[View]:
    """Return the views that the teacher answers for, up to the first made of embeddings that is waited for."""
    answered = []
    for view in views:
        if not (view.own_target or view.mutual):
            answered.append(view)
        if view.wait and not is_text(view):  # what comes next asks for its gradient
            break
    return answered


def text_views(views: Iterator[View]) -> list[View]:
    """Return those of ``answered_views`` that are made of word pieces."""
    return [view for view in answered_views(views) if is_text(view)]


def decoded(ids: list[int], models: Models) -> tuple[str, ...]:
    """Return the texts of one row, taken apart at the separators that the tokenizer put between them."""
    tokenizer = models.tokenizer
    parts: list[list[int]] = [[]]
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id, tokenizer.mask_token_id}
    for token in ids:
        if token == tokenizer.sep_token_id and len(parts) < len(models.task.texts):
            parts.append([])
        elif token not in special:
            parts[-1].append(token)
    return tuple(str(tokenizer.decode(part)) for part in parts)
