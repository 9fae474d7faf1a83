"""What a strategy's views, decoded to texts, are like at the end of a run."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from bench.cost import Cost
from bench.data.encode import Encoded
from bench.distill.feed import Feed
from bench.evaluation.text_quality import label_quality, similarity, text_quality
from bench.settings import Recipe
from bench.strategy import Models, Strategy, View

# Rows whose views are judged: enough for a percent, few enough to take seconds.
_JUDGED = 256


def quality_of_views(
    strategy: Strategy, models: Models, feed: Feed, recipe: Recipe, dev: Encoded
) -> dict[str, Any] | None:
    """Return the text quality of what ``strategy`` shows the student; None where that is no text.

    Views of a fixed sample of ``feed``'s rows, as in the last epoch with views, are judged by the final student, the
    teacher and a sentence encoder.
    """
    if feed.teacher_logits is None:
        return None
    rows = np.sort(np.random.default_rng(0).permutation(len(feed.train))[:_JUDGED])
    size, updates = recipe.batch_size, models.cost.student_updates
    rewriting = dict(models.cost.rewritten)
    # What judging costs is no cost of the run.
    models = dataclasses.replace(models, cost=Cost(student_updates=updates), training=False)
    models.student.eval()
    before: list[tuple[str, ...]] = []
    after: list[list[tuple[str, ...]]] = []
    logits: dict[str, list[torch.Tensor]] = defaultdict(list)
    origin: list[np.ndarray] = []
    changed: list[bool] = []
    for start in range(0, len(rows), size):
        batch = feed.batch(rows[start : start + size], feed.epoch)
        views = text_views(strategy.views(batch, models))
        if not views:
            return None
        assert batch.teacher_logits is not None
        with torch.no_grad():
            logits["teacher_before"].append(batch.teacher_logits)
            logits["student_before"].append(models.logits("student", batch.inputs))
            for view in views:
                logits["teacher_after"].append(models.teacher_targets(view, batch))
                logits["student_after"].append(models.logits("student", view.student))
                origin.append(start + np.arange(len(batch.rows)))
        originals = [decoded(ids, models) for ids in batch.inputs["input_ids"].tolist()]
        forms = [[decoded(ids, models) for ids in view.student["input_ids"].tolist()] for view in views]
        changed += [form != texts for view in forms for form, texts in zip(view, originals, strict=True)]
        before += originals
        after += [list(row) for row in zip(*forms, strict=True)]
    stacked = {name: torch.cat(parts).cpu().numpy() for name, parts in logits.items()}
    similar = similarity(before, after, models.accelerator.device.type)
    dev_texts = [decoded(ids.tolist(), models) for ids in np.split(dev.ids, dev.offsets[1:-1])]
    forms_made = rewriting.pop("forms", 0)
    return {
        **text_quality(before, after, dev=dev_texts),
        **label_quality(models.task, **stacked, rows=np.concatenate(origin), changed=np.array(changed)),
        "similarity": similar,
        "similarity_all": None if similar is None else 1 - float(np.mean(changed)) * (1 - similar),
        **({"truncated": rewriting.pop("truncated", 0) / forms_made, "rewriting": rewriting} if forms_made else {}),
    }


def text_views(views: Iterator[View]) -> list[View]:
    """Return the views made of word pieces, up to the first made of embeddings that is waited for."""
    of_pieces = []
    for view in views:
        if "input_ids" in view.student:
            of_pieces.append(view)
        elif view.wait:  # what comes next asks for its gradient
            break
    return of_pieces


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
