"""``bench compare``: the leaderboard of every finished run."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.brackets import matching, split_list
from bench.cli.choices import results_option
from bench.errors import BenchError, UsageError, unknown
from bench.remote.mirror import shown
from bench.reporting.records import uncollected

if TYPE_CHECKING:
    import pandas as pd

    from bench.reporting.comparison import Comparison
    from bench.reporting.schema import Record
    from bench.reporting.sheet import Sheet
    from bench.reporting.statistics.ranks import Ranks

TO_READ, FOR_PROGRAMS = ("text", "markdown", "latex"), ("json", "csv", "parquet")
FORMATS = (*TO_READ, *FOR_PROGRAMS)
_FRAMES = {"task": "tasks", "strategy": "strategies", "pair": "pairwise"}


@click.command(
    epilog="""\b
Examples:
  bench compare
  bench compare --preset mini --tasks 'rte,cola' --strategy 'none,mate-kd*' --format markdown
  bench compare --plot gains.pdf
  bench compare --shortlist none,mlm,mate-kd --plot ranks.pdf
  bench compare --format latex --output tables.tex
  bench compare --quality
  bench compare --format json | python -c "import json, sys; print(len(json.load(sys.stdin)))"
"""
)
@results_option
@click.option("--preset", help="Only this preset (globs work, commas separate).")
@click.option("--tasks", help="Only these tasks (globs work, commas separate).")
@click.option("--strategy", help="Show only these strategies (globs work, commas separate).")
@click.option("--baseline", default="none", show_default=True, help="Strategy that gains are taken over.")
@click.option(
    "--on",
    help="Scores on this set instead of dev, one that `bench evaluate` has scored the students on; all: every such set "
    "beside dev.",
)
@click.option("--attacks", is_flag=True, help="Show accuracy under attack: strategies by recipes (see bench attack).")
@click.option(
    "--by-task/--no-by-task",
    default=None,
    help="Show scores and gains of each task, or leave them out.  [default: where the width has room]",
)
@click.option(
    "--by-size", is_flag=True, help="Show gains against the number of training rows (bench run --train-rows)."
)
@click.option("--full", is_flag=True, help="Say how every number is made, and show what else was measured.")
@click.option("--quality", is_flag=True, help="Show what the strategies did to the texts, not their scores.")
@click.option(
    "--published",
    is_flag=False,
    flag_value="",
    metavar="[FILE.csv]",
    help="Beside what papers report, with the points in which the protocols differ. FILE: numbers of your own.",
)
@click.option(
    "--shortlist",
    metavar="A,B,C",
    help="Also: mean ranks of 3 to 10 strategies with their critical difference; --plot then draws its diagram.",
)
@click.option("--against", metavar="STRATEGY", help="Also: how probably each is worse than this, the same, better.")
@click.option(
    "--within",
    type=click.FloatRange(0, 100, min_open=True),
    default=0.5,
    show_default=True,
    help="Points of gain up to which --against takes two strategies for the same.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Tables to read (latex: with booktabs), or rows for a program (parquet needs --output).",
)
@click.option(
    "--rows",
    type=click.Choice(list(_FRAMES)),
    default="task",
    show_default=True,
    help="What a row of json, csv and parquet is: a strategy on a task, over all tasks, or a pair of strategies.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also draw the gains with their intervals into this file (.svg, .png or .pdf).",
)
@uncollected()
def compare(
    results: Path,
    preset: str | None,
    tasks: str | None,
    strategy: str | None,
    baseline: str,
    on: str | None,
    attacks: bool,
    by_task: bool | None,
    by_size: bool,
    full: bool,
    quality: bool,
    published: str | None,
    shortlist: str | None,
    against: str | None,
    within: float,
    form: str,
    rows: str,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Print the leaderboard: what each strategy gains, how sure that is, and what it costs.

    A gain is taken over the baseline on the same tasks and seeds, and always stands with its 95 % interval and a
    verdict: better, worse, not distinguishable, or that these runs cannot tell.

    With --quality: how much the strategies change texts, whether the teacher still says the same of them, how far
    the student is from it there, and how varied and how clean they are; and of adversaries that learned, the lead over
    their untrained selves, in all and by task.

    Rows are only compared where their signatures agree. Failed and skipped runs are listed below the table.
    """
    from bench.reporting import sheet
    from bench.reporting.leaderboard import failures, leaderboard
    from bench.reporting.tables import only
    from bench.reporting.tidy import tidy

    if on is not None and published is not None:
        raise UsageError("--published is of scores on dev and test, --on of another set: give one of the two")
    tables = {"--attacks": attacks, "--on all": on == "all", "--quality": quality, "--by-size": by_size}
    tables["--published"] = published is not None
    below = {"--shortlist": shortlist is not None, "--against": against is not None}
    own_table = next((name for name, asked in tables.items() if asked), None)
    others = (
        tables | {"--on": attacks and on is not None} | below | {"--plot": plot is not None, "--rows": rows != "task"}
    )
    if own_table and (given := [name for name, asked in others.items() if asked and name != own_table]):
        raise UsageError(f"{own_table} is a table of its own: leave out {', '.join(given)}")
    if form in FOR_PROGRAMS and (given := [name for name, asked in below.items() if asked]):
        raise UsageError(f"{', '.join(given)} is a table below the first, which {form} has no place for: --format text")
    if form in TO_READ and rows != "task":
        raise UsageError(f"--rows {rows} is of json, csv and parquet: add --format json")
    if math.isnan(within):
        raise UsageError("--within is nan; give points of gain, as 0.5")
    if output is not None and plot is not None and output.resolve() == plot.resolve():
        raise UsageError(f"--output and --plot are both {output}; name another file for one of them")
    if form == "parquet" and output is None:
        raise UsageError("parquet is no text to print; name a file for it: --output FILE")
    if plot is not None:
        _figure([], plot)  # complains of a wrong name before anything is read
    records = chosen_records(results, preset, tasks)
    if on not in (None, "all"):
        from bench.reporting.evaluations import evaluated_on

        records, outdated = evaluated_on(results, records, on)
        for note in outdated:
            click.echo(f"Warning: {note}", err=True)
    runs = tidy(records)
    frame, lost = leaderboard(runs, baseline), failures(runs)
    chosen = chosen_strategies(strategy, frame, lost)
    if output is None and sys.stdout is None:
        raise BenchError("there is no standard output to print to; write to a file: --output FILE")
    to_terminal = output is None and sys.stdout.isatty()
    width = sheet.page_width(to_terminal)
    if quality:
        sheets, table = _quality(frame[frame["strategy"].isin(chosen)], baseline, full, by_task is not False)
    elif own_table in ("--attacks", "--on all"):
        from bench.reporting.attacks import transfer
        from bench.reporting.beyond import on_sets

        sheets, table = (transfer if attacks else on_sets)(results, labelled(records, runs), baseline, chosen)
    else:
        compared = comparisons(runs, frame, results, baseline, lost)
        # The baseline stays in sight: it is what the gains are over.
        shown = [only(comparison, {*chosen, baseline, *filter(None, [against])}) for comparison in compared]
        if published is not None:
            sheets, table = _published(compared, chosen, records, published)
        elif by_size:
            from bench.reporting import by_size as sizes

            sheets, table = sizes.by_size(shown)
        else:
            sheets = _tables(shown, width, form, by_task, full)
            table = _frame([only(comparison, chosen) for comparison in compared], rows)
        if against is not None:
            from bench.reporting.against import against as beside

            # Of several presets, those that have it.
            having = [one for one in shown if against in {*one.strategies["strategy"]}] or shown[:1]
            sheets += [beside(comparison, against, within / 100) for comparison in having]
        ranks = [] if shortlist is None else _ranks(compared, chosen_strategies(shortlist, frame, lost), sheets)
        if plot is not None:
            _figure(shown, plot, ranks)
    if form in ("text", "markdown"):
        content = sheet.text(sheets, width, to_terminal) if form == "text" else sheet.markdown(sheets)
        deliver(f"{content}\n{_footer(results, records)}\n", output)
        return
    deliver(_written(form, sheets, table), output)
    if form != "latex":
        for each in sheets:
            for note in each.notes:
                click.echo(f"{each.preset}: {note}", err=True)


def chosen_records(results: Path, preset: str | None, tasks: str | None) -> list[Record]:
    """Return what is under ``results`` of the presets and tasks asked for, all where None; tells of corrupt records.

    BenchError where there is nothing.
    """
    from bench.cli.found import told_records
    from bench.reporting.records import set_aside

    earlier = len(set_aside(results))
    records = told_records(results)
    if earlier:
        click.echo(f"Warning: corrupt records set aside earlier: {earlier}, in {results / 'aside'}", err=True)
    if not records:
        raise BenchError(f"no finished runs in {shown(results)!r}; make some: bench run --strategy none,mate-kd")
    for key, patterns in (("preset", preset), ("task", tasks)):
        if patterns is not None:
            chosen = _match(patterns, {getattr(record, key) for record in records}, {}, key)
            records = [record for record in records if getattr(record, key) in chosen]
    return records


def labelled(records: Sequence[Record], runs: pd.DataFrame) -> list[tuple[str, Record]]:
    """Return ``records``, whose tidy frame is ``runs``, each with the name that its run has in tables."""
    from bench.reporting.leaderboard import named_runs

    named = named_runs(runs)
    labels = dict(zip(named["folder"], named["label"], strict=True))
    return [(labels[record.folder], record) for record in records]


def chosen_strategies(patterns: str | None, frame: pd.DataFrame, lost: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the strategies of a leaderboard and of its failures that are asked for, all where None."""
    names = {*frame["strategy"], *(row["strategy"] for row in lost)}
    bases = dict(zip(frame["strategy"], frame["base"], strict=True))
    return names if patterns is None else _match(patterns, names, bases)


def comparisons(
    runs: pd.DataFrame, frame: pd.DataFrame, results: Path, baseline: str, lost: list[dict[str, Any]]
) -> list[Comparison]:
    """Return the comparisons of a leaderboard; tells of predictions that are left out."""
    from bench.reporting.comparison import compare as compared
    from bench.reporting.predictions import answers
    from bench.reporting.sheet import printable

    predictions, wrong = answers(results, runs, {*frame["split"]})
    for path, reason in wrong:
        click.echo(printable(f"Warning: predictions left out, {path}: {reason}"), err=True)
    return compared(frame, predictions, baseline, lost)


def _published(
    compared: Sequence[Comparison], chosen: set[str], records: Sequence[Record], published: str
) -> tuple[list[Sheet], pd.DataFrame]:
    """Return the tables of what papers report beside the ``chosen`` strategies, and their rows."""
    import pandas as pd

    from bench.reporting.averages import averages
    from bench.reporting.beside_papers import beside, sheets
    from bench.reporting.published import FILE, read

    papers = read(Path(published) if published else FILE)
    frame = pd.concat([comparison.tasks for comparison in compared], ignore_index=True)
    own, means = frame[frame["strategy"].isin(chosen)], averages(frame)
    table = beside(own, means[means["strategy"].isin(own["strategy"])], records, papers)
    return sheets(table, own, papers), table


def _tables(shown: Sequence[Comparison], width: int, form: str, by_task: bool | None, full: bool) -> list[Sheet]:
    """Return the tables of all presets; those for a document have all tasks, and the width of a page.

    Beside rows for a program only their notes are told.
    """
    from bench.reporting.tables import notes, tables

    if form in FOR_PROGRAMS:
        return [notes(comparison, full) for comparison in shown]
    if form in ("markdown", "latex"):
        width, by_task = {"markdown": 120, "latex": 84}[form], by_task is not False
    return [each for comparison in shown for each in tables(comparison, width, by_task, full)]


def _frame(shown: Sequence[Comparison], rows: str) -> pd.DataFrame:
    """Return the rows of all presets for a program."""
    import pandas as pd

    parts = []
    for comparison in shown:
        part = getattr(comparison, _FRAMES[rows])
        parts.append(part if "preset" in part else part.assign(preset=comparison.preset))
    whole = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return whole[["preset", *(name for name in whole if name != "preset")]]


def _quality(frame: pd.DataFrame, baseline: str, full: bool, by_task: bool) -> tuple[list[Sheet], pd.DataFrame]:
    """Return the tables of what strategies did to the texts and how far adversaries got, and the rows of the first."""
    from bench.reporting import adversary, predictor, quality

    table, leads = quality.quality(frame), adversary.sheets(frame, by_task)
    if table.empty and not leads:
        raise BenchError("none of these runs made texts, or none was recorded with what it did to them")
    sheets, ranks = quality.sheets(table, full), predictor.correlations(frame)
    for each in sheets:
        if correlations := ranks.get(each.preset):
            each.notes.append(predictor.note(correlations, baseline))
    return [*sheets, *leads], table


def _ranks(every: Sequence[Comparison], names: Collection[str], sheets: list[Sheet]) -> list[tuple[Comparison, Ranks]]:
    """Return the mean ranks of a shortlist, and put their tables below the other ``sheets``."""
    from bench.reporting import ranking

    ranks = ranking.ranked(every, sorted(names))
    sheets += [ranking.sheet(*one) for one in ranks]
    return ranks


def _figure(shown: Sequence[Comparison], path: Path, ranks: Sequence[tuple[Comparison, Ranks]] = ()) -> None:
    """Draw ``ranks``, else ``shown``, into a file; of nothing, only check that the file's name asks for a figure."""
    from bench.reporting import plot, ranking

    form = plot.form_of(path)
    if ranks:
        deliver(ranking.diagram(ranks, form), path)
    elif shown:
        deliver(plot.figure(shown, form), path)


def _written(form: str, sheets: Sequence[Sheet], table: pd.DataFrame) -> str | bytes:
    from bench.reporting import export
    from bench.reporting.latex import latex

    if form == "latex":
        return latex(sheets)
    if form == "parquet":
        return export.parquet_bytes(table)
    return export.json_text(table) if form == "json" else export.csv_text(table)


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
    where = f"{shown(results)}/runs/PRESET/TASK/STRATEGY/SEED/record.json"
    return f"{len(records)} records ({words}), one file per run: {where}"


def deliver(content: str | bytes, output: Path | None) -> None:
    """Write ``content`` to ``output``, or to the terminal where that is None; BenchError where it cannot be written."""
    if output is None:
        try:
            click.echo(content, nl=False)
        except BrokenPipeError:
            raise  # whoever read it has read enough
        except OSError as error:
            raise BenchError(f"cannot write: {error.strerror}; write to a file: --output FILE") from error
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    except OSError as error:
        raise BenchError(f"cannot write {output}: {error.strerror}; name another file") from error
    click.echo(f"wrote {output}", err=True)
