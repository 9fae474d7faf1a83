"""``bench report``: the leaderboard of every finished run as one page to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.choices import results_option
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison


@click.command(
    epilog="""\b
Examples:
  bench report
  bench report --preset mini --strategy 'none,mate-kd*' --output mate-kd.html
"""
)
@results_option
@click.option("--preset", help="Only this preset (globs work, commas separate).")
@click.option("--tasks", help="Only these tasks (globs work, commas separate).")
@click.option("--strategy", help="Show only these strategies (globs work, commas separate).")
@click.option("--baseline", default="none", show_default=True, help="Strategy that gains are taken over.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.html",
    show_default=True,
    help="Write the page to this file.",
)
def report(
    results: Path, preset: str | None, tasks: str | None, strategy: str | None, baseline: str, output: Path
) -> None:
    """Write the leaderboard as one HTML page: verdicts, intervals, charts, samples, and every run's configuration.

    The page is a single file that a browser opens without any network. It needs the extra `report`.
    """
    from bench.cli.compare import _deliver, _match
    from bench.reporting import sheet
    from bench.reporting.comparison import compare
    from bench.reporting.leaderboard import failures, leaderboard, named_runs
    from bench.reporting.predictions import predicted
    from bench.reporting.records import scan
    from bench.reporting.report.page import page, ready
    from bench.reporting.tidy import tidy

    ready()
    records, corrupt = scan(results)
    for path, reason in corrupt:
        click.echo(sheet.printable(f"Warning: corrupt record {path}: {reason}"), err=True)
    if not records:
        raise BenchError(f"no finished runs in {str(results)!r}; make some: bench run --strategy none,mate-kd")
    for key, patterns in (("preset", preset), ("task", tasks)):
        if patterns is not None:
            chosen = _match(patterns, {getattr(record, key) for record in records}, {}, key)
            records = [record for record in records if getattr(record, key) in chosen]
    runs = tidy(records)
    frame, lost, named = leaderboard(runs, baseline), failures(runs), named_runs(runs)
    names = {*frame["strategy"], *(row["strategy"] for row in lost)}
    answers, wrong = predicted(results, runs, set(frame["split"]))
    for path, reason in wrong:
        click.echo(sheet.printable(f"Warning: predictions left out, {path}: {reason}"), err=True)
    found = compare(frame, answers, baseline, lost)
    if strategy is not None:
        shown = _match(strategy, names, dict(zip(frame["strategy"], frame["base"], strict=True)))
        found = [only(comparison, shown) for comparison in found]
    labels = dict(zip(named["folder"], named["label"], strict=True))
    _deliver(page(found, [(labels[record.folder], record) for record in records], results), output)


def only(comparison: Comparison, strategies: Collection[str]) -> Comparison:
    """Return ``comparison`` with some of its strategies; what is known of these stays what it is beside all others."""
    pairs = comparison.pairwise
    return dataclasses.replace(
        comparison,
        tasks=comparison.tasks[comparison.tasks["strategy"].isin(strategies)],
        strategies=comparison.strategies[comparison.strategies["strategy"].isin(strategies)],
        pairwise=pairs[pairs["strategy"].isin(strategies) & pairs["other"].isin(strategies)],
        failures=[row for row in comparison.failures if row["strategy"] in strategies],
    )
