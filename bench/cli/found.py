"""Runs that a command line names: by the first digits of an id, by a folder, or by patterns."""

from __future__ import annotations

import functools
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bench.brackets import split_list
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.experiment.evaluating import Made
    from bench.reporting.schema import Done, Record


class Found(NamedTuple):
    """A run: its folder, its record as JSON holds it, and the same checked and typed."""

    folder: Path
    tree: dict[str, Any]
    record: Record


def found(results: Path, name: str) -> Found:
    """Return the run ``name`` of ``results``; UsageError for an id that no run or several have, naming what is near.

    A folder may be of any results. BenchError where its record is corrupt, or there is none yet.
    """
    from bench.reporting.kept import find_run
    from bench.reporting.records import read_record
    from bench.reporting.schema import record_of

    folder = Path(name).parent if Path(name).name == "record.json" else Path(name)
    if not (name and (folder / "record.json").is_file()):
        folder = results / find_run(results, name).folder
    tree = read_record(folder)
    if tree is None:
        raise BenchError(f"{folder} holds no record: the run is not finished")
    return Found(folder, tree, record_of(tree))


def title(run: Found) -> str:
    """Return a run in a line."""
    from bench.errors import printable
    from bench.reporting.kept import in_words

    return printable(f"{run.record.id}  {in_words(run.record)}")


def told_records(results: Path) -> list[Record]:
    """Return the records of every run under ``results``; tells of those that are left out, and why."""
    from bench.errors import printable
    from bench.reporting.records import left_out, scan

    records, corrupt = scan(results)
    for path, reason in corrupt:
        click.echo(printable(f"Warning: {left_out(path, reason)}"), err=True)
    return records


class Wanted(NamedTuple):
    """Which finished runs a command line asks for: by ids, or all; of these what the patterns and seeds leave."""

    ids: tuple[str, ...]
    patterns: dict[str, str | None]
    seeds: tuple[int, ...]


def runs_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the argument and options that choose finished runs, as its parameter ``wanted``."""

    @click.argument("runs", nargs=-1, metavar="[ID]...")
    @click.option("--preset", help="Only runs of this preset (globs work, commas separate).")
    @click.option("--tasks", help="Only runs of these tasks (globs work, commas separate).")
    @click.option("--strategy", help="Only runs of these strategies (globs work, commas separate).")
    @click.option("--seed", "seeds", type=int, multiple=True, help="Only runs of this seed. Repeatable.")
    @functools.wraps(command)
    def with_runs(
        runs: tuple[str, ...],
        preset: str | None,
        tasks: str | None,
        strategy: str | None,
        seeds: tuple[int, ...],
        **others: Any,
    ) -> None:
        patterns = {"preset": preset, "task": tasks, "strategy": strategy}
        command(wanted=Wanted(runs, patterns, seeds), **others)

    return with_runs


def chosen_runs(results: Path, wanted: Wanted) -> list[Done]:
    """Return the finished runs under ``results`` that are ``wanted``; UsageError where there are none."""
    from bench.remote.mirror import shown
    from bench.reporting.kept import find_run
    from bench.reporting.schema import Done

    records = told_records(results)
    named = [find_run(results, name, records) for name in wanted.ids] if wanted.ids else records
    chosen = [
        record
        for record in named
        if isinstance(record, Done)
        and all(_matches(getattr(record, key), pattern) for key, pattern in wanted.patterns.items())
        and (not wanted.seeds or record.seed in wanted.seeds)
    ]
    if not chosen:
        raise UsageError(f"none of the {len(records)} runs in {shown(results)} is a finished one of those asked for")
    return chosen


def _matches(value: str, patterns: str | None) -> bool:
    if patterns is None:
        return True
    return any(
        fnmatchcase(value, pattern) or value == pattern or value.partition("[")[0] == pattern
        for pattern in split_list(patterns)
    )


def plain_evaluations(scored: Made) -> list[dict[str, Any]]:
    """Return the evaluations with the runs that they are of, ready for JSON."""
    import msgspec

    return [
        {"strategy": run.strategy, "seed": run.seed, "preset": run.preset, "folder": run.folder}
        | msgspec.to_builtins(evaluation)
        for run, evaluation in scored.evaluations
    ]


def say_lacking(scored: Made, *, everything: bool) -> None:
    """Say which runs have no student; BenchError if none has one, or if ``everything`` that was named was wanted."""
    if not scored.lacking:
        return
    few = "\n".join(scored.lacking[:3]) + ("\n…" if len(scored.lacking) > 3 else "")
    click.echo(f"{len(scored.lacking)} of the runs chosen have no student:\n{few}", err=True)
    if everything or not scored.evaluations:
        raise BenchError("not all that was asked for could be done")
