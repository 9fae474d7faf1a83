"""``bench report``: the leaderboard of every finished run as one page to look at."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.choices import results_option


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
    from bench.cli.compare import chosen_records, chosen_strategies, comparisons, deliver, labelled
    from bench.reporting.leaderboard import failures, leaderboard
    from bench.reporting.report.page import page, ready
    from bench.reporting.tables import only
    from bench.reporting.tidy import tidy

    ready()
    records = chosen_records(results, preset, tasks)
    runs = tidy(records)
    frame, lost = leaderboard(runs, baseline), failures(runs)
    compared = comparisons(runs, frame, results, baseline, lost)
    if strategy is not None:
        shown = chosen_strategies(strategy, frame, lost)
        compared = [only(comparison, shown) for comparison in compared]
    deliver(page(compared, labelled(records, runs), results), output)
