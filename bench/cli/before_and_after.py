"""Rows of a task before and after a strategy rewrote them, changes marked, and what they amount to."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.errors import UsageError
from bench.reporting.report.changes import changes

if TYPE_CHECKING:
    from bench.data.tasks import Task
    from bench.experiment.augmentation import Augmentation
    from bench.rewriter import Forms
    from bench.rewriting.engine import Rewritten
    from bench.spec import StrategySpec


def before_and_after(spec: StrategySpec, task: Task, count: int, augmentation: Augmentation) -> str:
    """Return ``count`` rows of the task before and after, changes marked, and what they amount to."""
    from bench.spec import COMPOSED

    splits = augmentation.source.load(task.name).splits
    train = splits["train"]
    rows = sorted(random.Random(augmentation.seed).sample(range(len(train)), min(count, len(train))))
    examples = [train[row] for row in rows]
    heads = [f"{task.name}, training row {row} ({task.label_name(train[row].label)})" for row in rows]
    blocks = []
    for part in spec.inner if spec.name == COMPOSED else (spec,):
        strategy, title, failed, asked = part.create(), str(part), {}, ""
        if reason := strategy.supports(task):
            raise UsageError(f"{part} skips {task.name}: {reason}")
        if strategy.rewriters():
            (rewriter,) = strategy.rewriters()
            rewritten = augmentation.rewrite(str(part), rewriter, examples, task, train)
            before, after, failed = [row.texts for row in examples], rewritten.forms, rewritten.failed
            asked = _attacks(rewritten)
        elif "generator" in strategy.needs:
            before, after = augmentation.sampled(strategy, examples, task)
            if strategy.trains_an_adversary():
                title += ", with the generator as it is before it learns against the student"
        else:
            continue
        blocks += [title, *_blocks(task, heads, before, after, failed)]
        blocks.append(_amounts_to(before, after, [row.texts for row in splits["dev"]]) + asked)
    if not blocks:
        raise UsageError(
            f"{spec} rewrites no text: it perturbs what a model makes of it, or nothing; "
            f"these make text: {', '.join(text_makers(sampling=True))}"
        )
    return "\n\n".join(blocks)


def text_makers(*, sampling: bool) -> list[str]:
    """Return the strategies that make texts, a family as FAMILY:*; with ``sampling`` also those that train with it."""
    from bench.registry import families, load, targets
    from bench.rewriter import Rewriter

    classes = {name: load(name) for name in targets()}
    own = [
        name for name, cls in classes.items() if issubclass(cls, Rewriter) or (sampling and "generator" in cls.needs)
    ]
    return [*own, *(f"{name}:*" for name, family in families().items() if family.missing is None)]


def _blocks(
    task: Task,
    heads: Sequence[str],
    before: Sequence[tuple[str, ...]],
    after: Sequence[Forms],
    failed: Mapping[int, str],
) -> list[str]:
    """Return each row's texts and, below them, of each of its forms those that changed, changes marked."""
    width = max(map(len, task.texts))
    blocks = []
    for row, (head, texts, forms) in enumerate(zip(heads, before, after, strict=True)):
        lines = [head, *(f"    {name:<{width}}  {text}" for name, text in zip(task.texts, texts, strict=True))]
        for number, form in enumerate(forms, start=1):
            arrow = "->" if len(forms) == 1 else f"{number}>"
            changed = [
                f"{arrow:>3} {name:<{width}}  {marked(old, new)}"
                for name, old, new in zip(task.texts, texts, form, strict=True)
                if old != new
            ]
            lines += changed or [f"{arrow:>3} " + (f"failed: {failed[row]}" if row in failed else "unchanged")]
        blocks.append("\n".join(lines))
    return blocks


def marked(old: str, new: str) -> str:
    """Return ``new`` with what makes it differ from ``old``, by words: [-left out-] and {+put in+}, or in colour."""
    if old.split() == new.split():
        return f"{new} (only spaces differ)"
    pieces = []
    for kind, words in changes(old, new):
        if kind == "out":
            words = _mark(words, "[-", "-]", fg="red", strikethrough=True)
        elif kind == "in":
            words = _mark(words, "{+", "+}", fg="green", bold=True)
        pieces.append(words)
    return " ".join(pieces)


def _mark(words: str, left: str, right: str, **style: Any) -> str:
    return click.style(words, **style) if sys.stdout.isatty() else f"{left}{words}{right}"


def _amounts_to(before: Sequence[tuple[str, ...]], after: Sequence[Forms], dev: Sequence[tuple[str, ...]]) -> str:
    """Return the quality numbers of the rows shown, one per line."""
    from bench.evaluation.text_quality import similarity, text_quality
    from bench.models.sentences import sentence_encoder
    from bench.reporting.quality import MEASURES, printed

    quality = {**text_quality(before, after, dev=dev), "similarity": similarity(before, after)}
    lines = [f"{quality['rows']} rows, {quality['forms']} rewrites"]
    for measure in MEASURES:
        if quality.get(measure.key) is not None:
            lines.append(f"  {measure.head:<18}{printed(quality[measure.key], measure.form):>7}  {measure.about}")
    encoder = sentence_encoder()
    if quality["similarity"] is None and not encoder.ready():
        lines.append(f"  no similarity: the {encoder.name} is not here; get it with: {encoder.command}")
    return "\n".join(lines)


def _attacks(rewritten: Rewritten) -> str:
    """Return a line on how attacks went, empty where there were none."""
    if not rewritten.outcomes:
        return ""
    outcomes = ", ".join(f"{count:,} {kind}" for kind, count in rewritten.outcomes.most_common())
    return f"\n  attacks: {outcomes}; the victim was asked about {rewritten.queries:,} texts"
