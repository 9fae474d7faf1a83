"""`bench augment`: what a strategy does to a task's texts, or a file of texts rewritten by it."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.choices import Choices, choices_options
from bench.errors import BenchError, UsageError


@click.command(
    epilog="""\b
Examples:
  bench augment --strategy 'eda[alpha=0.2]' --task rte
  bench augment train.tsv --strategy nlpaug:synonym --workers 4 --output train.augmented.jsonl
"""
)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--strategy", required=True, help="One strategy, options in brackets: 'eda[copies=4]'.")
@click.option("--task", help="Show rows of this task, or of your own ./task.toml, before and after.")
@click.option("-n", "count", default=5, show_default=True, type=click.IntRange(1), help="With --task: how many rows.")
@click.option("--columns", help="Of FILE: what to rewrite, comma-separated.  [default: columns that look like texts]")
@click.option("--quoting", is_flag=True, help="Of FILE: .tsv files are quoted as CSV is.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Of FILE: write here (.parquet, .tsv, .csv or .jsonl).  [default: NAME.augmented.parquet, in this folder]",
)
@click.option("--overwrite", is_flag=True, help="Write over an output that is there.")
@click.option("--workers", type=click.IntRange(1), help="Processes that rewrite texts.  [default: one per core]")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the rewriting, and of the choice of rows."
)
@choices_options
def augment(
    file: Path | None,
    strategy: str,
    task: str | None,
    count: int,
    columns: str | None,
    quoting: bool,
    output: Path | None,
    overwrite: bool,
    workers: int | None,
    seed: int,
    choices: Choices,
) -> None:
    """Rewrite FILE with a strategy, or show what it does to rows of a task.

    With --task, rows are printed with their changes marked, and what these amount to. With FILE (.tsv, .csv, .jsonl
    or .parquet with a header), every row is written with a column NAME_augmented for each text column NAME; rows that
    could not be rewritten keep their texts and say why in augmentation_failed. The same command again goes on where
    it was cut off. Models that a strategy asks are those of the preset.
    """
    from bench.cli.augment_file import augment_file, check_output
    from bench.cli.before_and_after import before_and_after
    from bench.data.custom import by_source
    from bench.experiment.grid import choose_tasks
    from bench.experiment.progress import watching
    from bench.spec import StrategySpec, expanded, lacking

    if (file is None) == (task is None):
        raise UsageError("give one of both: a FILE to rewrite, or --task NAME to see what becomes of that task's rows")
    if file is None and (columns or output or quoting or overwrite):
        raise UsageError("--columns, --quoting, --output and --overwrite are of a FILE; with --task nothing is written")
    settings, source = choices.open()
    several = expanded([strategy])
    if len(several) > 1:
        raise UsageError(f"--strategy takes one strategy here, not {len(several)}: {', '.join(several[:3])}, …")
    spec = StrategySpec.parse(several[0], settings.strategies)
    if missing := lacking(spec.create()):
        raise BenchError(f"{spec}: {missing}")
    if task is not None:
        ((source, names),) = by_source([task], source).items()
        chosen, _ = choose_tasks(names, source)
        if len(chosen) > 1:
            raise UsageError(f"--task takes one task, not {', '.join(task.name for task in chosen)}")

    from bench.experiment.augmentation import Augmentation

    with watching() as progress:
        augmentation = Augmentation(settings, source, choices.results, progress, workers, seed)
        if file is None:
            text = before_and_after(spec, chosen[0], count, augmentation)
        else:
            asked = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
            written = check_output(file, output, overwrite=overwrite)
            text = augment_file(file, spec, asked, written, augmentation, quoting=quoting)
    click.echo(text)
