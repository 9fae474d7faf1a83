"""``bench compare``: the leaderboard of every finished run."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.brackets import matching, split_list
from bench.cli.choices import results_option
from bench.errors import BenchError, UsageError, unknown

if TYPE_CHECKING:
    from bench.reporting.schema import Record


@click.command(
    epilog="""\b
Examples:
  bench compare
  bench compare --preset mini --tasks 'rte,cola' --strategy 'none,mate-kd*' --format markdown
  bench compare --quality
  bench compare --format json | python -c "import json, sys; print(len(json.load(sys.stdin)))"
"""
)
@results_option
@click.option("--preset", help="Only this preset (globs work, commas separate).")
@click.option("--tasks", help="Only these tasks (globs work, commas separate).")
@click.option("--strategy", help="Show only these strategies (globs work, commas separate).")
@click.option("--baseline", default="none", show_default=True, help="Strategy that differences are taken to.")
@click.option("--on", help="Scores on this set instead of dev: one that `bench evaluate` has scored the students on.")
@click.option("--quality", is_flag=True, help="Show what the strategies did to the texts, not their scores.")
@click.option(
    "--published",
    is_flag=False,
    flag_value="",
    metavar="[FILE.csv]",
    help="Beside what papers report, with the points in which the protocols differ. FILE: numbers of your own.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv", "markdown"]),
    default="text",
    show_default=True,
    help="text and markdown: tasks by strategies. json and csv: a row per task and strategy (--quality: per strategy).",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead.")
def compare(
    results: Path,
    preset: str | None,
    tasks: str | None,
    strategy: str | None,
    baseline: str,
    on: str | None,
    quality: bool,
    published: str | None,
    form: str,
    output: Path | None,
) -> None:
    """Print the leaderboard: mean ± sd over seeds, difference to the baseline, cost.

    With --quality: how much the strategies change texts, whether the teacher still says the same of them, how far
    the student is from it there, and how varied and how clean they are.

    Rows are only compared where their signatures agree. Failed and skipped runs are listed below the table.
    """
    from bench.reporting import export, predictor, sheet
    from bench.reporting import quality as text_quality
    from bench.reporting.averages import averages
    from bench.reporting.leaderboard import failures, leaderboard
    from bench.reporting.records import scan, set_aside
    from bench.reporting.tidy import tidy
    from bench.reporting.wide_table import grids

    if quality and published is not None:
        raise UsageError("--quality is of texts, --published of scores: give one of the two")
    if on is not None and published is not None:
        raise UsageError("--published is of scores on dev and test, --on of another set: give one of the two")
    records, corrupt = scan(results)
    for path, reason in corrupt:
        click.echo(sheet.printable(f"Warning: corrupt record {path}: {reason}"), err=True)
    earlier = len(set_aside(results)) - sum("; moved to " in reason for _, reason in corrupt)
    if earlier > 0:
        click.echo(f"Warning: corrupt records set aside earlier: {earlier}, in {results / 'aside'}", err=True)
    if not records:
        raise BenchError(f"no finished runs in {str(results)!r}; make some: bench run --strategy none,mate-kd")
    for key, patterns in (("preset", preset), ("task", tasks)):
        if patterns is not None:
            chosen = _match(patterns, {getattr(record, key) for record in records}, {}, key)
            records = [record for record in records if getattr(record, key) in chosen]

    if on is not None:
        from bench.reporting.evaluations import evaluated_on

        records, outdated = evaluated_on(results, records, on)
        for note in outdated:
            click.echo(f"Warning: {note}", err=True)
    runs = tidy(records)
    frame, lost = leaderboard(runs, baseline), failures(runs)
    names = {*frame["strategy"], *(row["strategy"] for row in lost)}
    means = averages(frame)
    if strategy is not None:
        chosen = _match(strategy, names, dict(zip(frame["strategy"], frame["base"], strict=True)))
        frame, means = (part[part["strategy"].isin(chosen)] for part in (frame, means))
        lost = [row for row in lost if row["strategy"] in chosen]

    if published is not None:
        from bench.reporting.beside_papers import beside
        from bench.reporting.beside_papers import sheets as tables_beside
        from bench.reporting.published import FILE, read

        papers = read(Path(published) if published else FILE)
        ours, frame = frame, beside(frame, means, records, papers)
        sheets = tables_beside(frame, ours, papers)
    elif quality:
        ranks = predictor.correlations(frame)
        frame = text_quality.quality(frame)
        if frame.empty:
            raise BenchError("none of these runs made texts, or none was recorded with what it did to them")
        sheets = text_quality.sheets(frame)
        for table in sheets:
            if found := ranks.get(table.preset):
                table.notes.append(predictor.note(found, baseline))
    else:
        sheets = [grid.sheet() for grid in grids(frame, means, lost)]
    if form in ("json", "csv"):
        for table in sheets:
            for note in table.notes:
                click.echo(f"{table.preset}: {note}", err=True)
        _deliver(export.json_text(frame) if form == "json" else export.csv_text(frame), output)
        return
    to_terminal = output is None and sys.stdout.isatty()
    is_text = form == "text"
    content = sheet.text(sheets, sheet.page_width(to_terminal), to_terminal) if is_text else sheet.markdown(sheets)
    _deliver(f"{content}\n{_footer(results, records)}\n", output)


def _match(patterns: str, names: Collection[str], bases: Mapping[str, str], kind: str = "strategy") -> set[str]:
    """Return those of ``names`` that any of the comma-separated patterns means; each must mean at least one."""
    from bench.reporting.sheet import printable

    wanted = split_list(patterns)
    if not wanted:
        few = sorted(names)[:5]
        raise UsageError(f"no {kind} is asked for; name some, for example: {', '.join(map(printable, few))}")
    chosen: set[str] = set()
    for pattern in wanted:
        everything = "*" if pattern == "all" else pattern
        matches = {*matching(everything, names), *(name for name in names if bases.get(name) == pattern)}
        if not matches:
            raise unknown(f"{kind} among these results:", pattern, map(printable, names))
        chosen |= matches
    return chosen


def _footer(results: Path, records: Sequence[Record]) -> str:
    count = {status: sum(r.status == status for r in records) for status in ("done", "failed", "skipped")}
    words = ", ".join(f"{n} {status}" for status, n in count.items() if n)
    where = results / "runs" / "PRESET" / "TASK" / "STRATEGY" / "SEED" / "record.json"
    return f"{len(records)} records ({words}), one file per run: {where}"


def _deliver(content: str, output: Path | None) -> None:
    if output is None:
        click.echo(content, nl=False)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(content, encoding="utf-8")
    except OSError as error:
        raise BenchError(f"cannot write {output}: {error.strerror}; name another file: --output FILE") from error
    click.echo(f"wrote {output}", err=True)
