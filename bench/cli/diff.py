"""`bench diff`: what two runs differ in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.choices import format_option, results_option
from bench.cli.entries import paragraph
from bench.cli.found import found, title
from bench.errors import printable

if TYPE_CHECKING:
    from bench.reporting.differing import Difference, Predictions


@click.command(epilog="Example: bench diff 38464ef1 592c96ba")
@click.argument("one")
@click.argument("other")
@results_option
@format_option
def diff(one: str, other: str, results: Path, form: str) -> None:
    """Show in what two runs differ: what was run, by what code and machine, scores, cost, and predictions row by row.

    A run is named by the first digits of its id (the end of its folder's name; bench export lists them) or by its
    folder, which may be of other results.
    """
    from bench.reporting import differing

    runs = [found(results, name) for name in (one, other)]
    mine, theirs = (run.tree for run in runs)
    parts = {
        "what was run": differing.differences(mine, theirs, differing.SPECIFICATION),
        "code and machine": differing.differences(mine, theirs, differing.MADE_BY),
        "result": differing.differences(mine, theirs, differing.RESULT),
    }
    rows, silent = differing.predictions(*(run.folder for run in runs))
    if form == "json":
        tree: dict[str, Any] = {name: [each._asdict() for each in found] for name, found in parts.items()}
        click.echo(json.dumps(tree | {"predictions": [vars(each) for each in rows], "without": silent}, indent=1))
        return
    click.echo(f"one    {title(runs[0])}\nother  {title(runs[1])}")
    for name, differences in parts.items():
        click.echo(f"\n{name}" + ("" if differences else ": the same"))
        for line in _lines(differences):
            click.echo(line)
    click.echo("\npredictions")
    for line in [*map(in_words, rows), *silent]:
        click.echo(paragraph(printable(line), 2, 2))


def _lines(differences: Sequence[Difference]) -> list[str]:
    width = max((len(each.field) for each in differences), default=0)
    return [
        printable(f"  {each.field:<{width}}  {_value(each.one)}  |  {_value(each.other)}{_change(each)}")
        for each in differences
    ]


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _change(each: Difference) -> str:
    """Return by how much a score or an amount differs, "  (+1.2 points)" or "  (x 2.5)"."""
    numbers = [value for value in each[1:] if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < 2:
        return ""
    if each.field.startswith("metrics."):
        return f"  ({100 * (numbers[1] - numbers[0]):+.2f} points)"
    return f"  (x {numbers[1] / numbers[0]:.3g})" if each.field.startswith("cost.") and numbers[0] else ""


def in_words(each: Predictions) -> str:
    """Return in a line on which rows of a split two runs differ."""
    if each.equal:
        return f"{each.split}: all {each.rows:,} rows alike, to the last bit of every logit"
    logits = f"logits differ by up to {each.gap:.2g}"
    if not each.differ:
        return f"{each.split}: the same answer to all {each.rows:,} rows; {logits}"
    more = ", …" if each.differ > len(each.named) else ""
    right = "" if each.one_right is None else f" (right: {each.one_right:,} and {each.other_right:,})"
    return (
        f"{each.split}: other answers to {each.differ:,} of {each.rows:,} rows{right}; {logits}; rows "
        f"{', '.join(each.named)}{more}"
    )
