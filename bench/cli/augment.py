"""`bench augment`: what a strategy does to a task's texts, or a file of texts rewritten by it."""

from __future__ import annotations

import difflib
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import data_dir_option, preset_option, results_option, set_option
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.data.tasks import Task
    from bench.experiment.augmentation import Augmentation
    from bench.rewriting.engine import Rewritten
    from bench.spec import StrategySpec
    from bench.strategy import Forms


@click.command(
    epilog="""\b
Examples:
  bench augment --strategy 'eda[alpha=0.2]' --task rte
  bench augment train.tsv --strategy nlpaug:synonym --workers 4 --output train.augmented.jsonl
"""
)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--strategy", required=True, help="One strategy, options in brackets: 'eda[copies=4]'.")
@click.option("--task", help="Show rows of this task before and after.")
@click.option("-n", "count", default=5, show_default=True, type=click.IntRange(1), help="With --task: how many rows.")
@click.option("--columns", help="Of FILE: what to rewrite, comma-separated.  [default: columns that look like texts]")
@click.option("--quoting", is_flag=True, help="Of FILE: .tsv files are quoted as CSV is.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Of FILE: write here (.parquet, .tsv, .csv or .jsonl).  [default: FILE's name with .augmented.parquet]",
)
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--workers", type=click.IntRange(1), help="Processes that rewrite texts.  [default: one a core]")
@click.option("--seed", default=0, show_default=True, help="Of the rewriting, and of the choice of rows.")
@preset_option
@data_dir_option
@set_option
@results_option
def augment(
    file: Path | None,
    strategy: str,
    task: str | None,
    count: int,
    columns: str | None,
    quoting: bool,
    output: Path | None,
    force: bool,
    workers: int | None,
    seed: int,
    preset: str,
    data_dir: Path | None,
    overrides: tuple[str, ...],
    results: Path,
) -> None:
    """Rewrite FILE with a strategy, or show what it does to rows of a task.

    With --task, rows are printed with their changes marked, and what these amount to. With FILE (.tsv, .csv, .jsonl
    or .parquet with a header), every row is written with a column NAME_augmented for each text column NAME; rows that
    could not be rewritten keep their texts and say why in augmentation_failed. The same command again goes on where
    it was cut off. Models that a strategy asks are those of the preset.
    """
    from bench.experiment.presets import open_data
    from bench.experiment.progress import watching
    from bench.spec import StrategySpec, lacking

    if (file is None) == (task is None):
        raise UsageError("give a FILE to rewrite, or --task NAME to see what the strategy does to that task's rows")
    if file is None and (columns or output or quoting):
        raise UsageError("--columns, --quoting and --output are of a FILE; with --task nothing is written")
    spec = StrategySpec.parse(strategy)
    if lacks := lacking(spec.create()):
        raise BenchError(f"{spec}: {lacks}")
    settings, source = open_data(preset, overrides, data_dir)

    from bench.experiment.augmentation import Augmentation

    with watching() as progress:
        augmentation = Augmentation(settings, source, results, progress, workers, seed)
        if file is None:
            assert task is not None
            text = _shown(spec, task, count, augmentation)
        else:
            asked = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
            text = _rewritten(file, spec, asked, quoting, output, force, augmentation)
    click.echo(text)


def _shown(spec: StrategySpec, name: str, count: int, augmentation: Augmentation) -> str:
    """Return ``count`` rows of the task before and after, changes marked, and what they amount to."""
    from bench.experiment.grid import choose_tasks
    from bench.spec import COMPOSED
    from bench.strategy import Strategy

    tasks, _ = choose_tasks([name], augmentation.source)
    if len(tasks) > 1:
        raise UsageError(f"--task takes one task, not {', '.join(task.name for task in tasks)}")
    (task,) = tasks
    splits = augmentation.source.load(task.name).splits
    train = splits["train"]
    rows = sorted(random.Random(augmentation.seed).sample(range(len(train)), min(count, len(train))))
    examples = [train[row] for row in rows]
    heads = [f"{task.name}, training row {row} ({_label(task, train[row].label)})" for row in rows]
    blocks = []
    for part in spec.inner if spec.name == COMPOSED else (spec,):
        strategy, title, failed, asked = part.create(), str(part), {}, ""
        if strategy.rewriters():
            made = augmentation.rewrite(strategy, examples, task, [row.texts for row in train])
            before, after, failed = [row.texts for row in examples], made.forms, made.failed
            asked = _attacks(made)
        elif "generator" in strategy.needs and not strategy.sequential:
            before, after = augmentation.sampled(strategy, examples, task)
            if type(strategy).fit_adversary is not Strategy.fit_adversary:
                title += ", with the generator as it is before it learns against the student"
        else:
            continue
        blocks += [title, *_before_and_after(task, heads, before, after, failed)]
        blocks.append(_amounts_to(before, after, [row.texts for row in splits["dev"]]) + asked)
    if not blocks:
        raise UsageError(
            f"{spec} rewrites no text: it perturbs what a model makes of it, or nothing; "
            f"these make text: {', '.join(_text_makers(sampling=True))}"
        )
    return "\n\n".join(blocks)


def _text_makers(*, sampling: bool) -> list[str]:
    """Return the strategies that make texts, a family as FAMILY:*; with ``sampling`` also those that train with it."""
    from bench.registry import families, load, targets

    classes = {name: load(name) for name in targets()}
    own = [name for name, cls in classes.items() if cls.refresh != "never" or (sampling and "generator" in cls.needs)]
    return [*own, *(f"{name}:*" for name, family in families().items() if family.missing is None)]


def _label(task: Task, label: int | float | None) -> str:
    return f"{label:g}" if task.is_regression or label is None else task.labels[int(label)]


def _before_and_after(
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
    one, other = old.split(), new.split()
    if one == other:
        return f"{new} (only spaces differ)"
    pieces = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(" ".join(one[i:j]))
            continue
        if i < j:
            pieces.append(_mark(" ".join(one[i:j]), "[-", "-]", fg="red", strikethrough=True))
        if k < m:
            pieces.append(_mark(" ".join(other[k:m]), "{+", "+}", fg="green", bold=True))
    return " ".join(pieces)


def _mark(words: str, left: str, right: str, **style: Any) -> str:
    return click.style(words, **style) if sys.stdout.isatty() else f"{left}{words}{right}"


def _amounts_to(before: Sequence[tuple[str, ...]], after: Sequence[Forms], dev: Sequence[tuple[str, ...]]) -> str:
    """Return the quality numbers of the rows shown, one a line."""
    from bench.evaluation.text_quality import similarity, text_quality
    from bench.models.sentences import sentence_encoder
    from bench.reporting.quality import MEASURES, printed

    found = {**text_quality(before, after, dev=dev), "similarity": similarity(before, after)}
    lines = [f"{found['rows']} rows, {found['forms']} forms of them"]
    for measure in MEASURES:
        if found.get(measure.key) is not None:
            lines.append(f"  {measure.head:<18}{printed(found[measure.key], measure.form):>7}  {measure.about}")
    if found["similarity"] is None:
        encoder = sentence_encoder()
        lines.append(f"  no similarity: the {encoder.name} is not here; get it with: {encoder.command}")
    return "\n".join(lines)


def _attacks(made: Rewritten) -> str:
    """Return a line on how attacks went, empty where there were none."""
    if not made.outcomes:
        return ""
    outcomes = ", ".join(f"{count:,} {kind}" for kind, count in made.outcomes.most_common())
    return f"\n  attacks: {outcomes}; the victim was asked about {made.queries:,} texts"


def _rewritten(
    file: Path,
    spec: StrategySpec,
    asked: Sequence[str] | None,
    quoting: bool,
    output: Path | None,
    force: bool,
    augmentation: Augmentation,
) -> str:
    """Write the rows of ``file`` with their rewritten texts; return what was done, in words."""
    from bench.data.tables import FORMATS, WRITTEN, column_types, read_table, write_table
    from bench.experiment.augmentation import FAILED

    if output is None:
        ending = max((ending for ending in FORMATS if file.name.endswith(ending)), key=len, default="")
        output = file.with_name(f"{file.name.removesuffix(ending)}.augmented.parquet")
    if output.suffix not in WRITTEN:
        raise UsageError(f"cannot write {output}: known endings are {' '.join(WRITTEN)}")
    if output.exists() and (not force or output.samefile(file)):
        raise UsageError(
            f"{output} is there already; name another: --output FILE" + ", or insist: --force" * (not force)
        )
    strategy = spec.create()
    if strategy.rewriters() != (strategy,):
        raise UsageError(
            f"{spec} is not one that rewrites texts before training; these are: "
            f"{', '.join(_text_makers(sampling=False))}"
        )
    table = read_table(file, quoting=quoting)
    columns, made = augmentation.table(strategy, table, asked)
    types = column_types(file) if file.suffix == output.suffix == ".parquet" else {}
    write_table(output, columns, {**types, FAILED: "string"}, quoting=quoting)

    rows, forms, fresh = len(made.forms), sum(map(len, made.forms)), len(made.forms) - made.cached
    names = [name for name in table.columns if f"{name}_augmented" in columns]
    changed = sum(
        any(columns[name][row] != columns[f"{name}_augmented"][row] for name in names) for row in range(forms)
    )
    speed = f" ({fresh / made.seconds:,.0f} a second)" if fresh else ""
    lines = [
        f"{rows:,} rows of {', '.join(names)} in {made.seconds:.1f} s: "
        f"{made.cached:,} from the cache, {fresh:,} new{speed}",
        f"{changed / forms:.1%} of their {forms:,} forms are changed, {len(made.failed):,} rows failed",
    ]
    lines += [f"  {count:,} x {reason}" for reason, count in Counter(made.failed.values()).most_common(3)]
    return "\n".join([*lines, f"wrote {output}"])
