"""`bench run`: teacher, student, record, for every cell of a grid."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bench.cli.options import data_dir_option, preset_option, results_option, set_option
from bench.errors import BenchError, UsageError


@click.command(
    epilog="Example: bench run --strategy none,mate-kd --tasks cola,rte --seeds 3 --preset minilm --data-dir glue"
)
@click.option(
    "--strategy",
    "strategies",
    default="none,mate-kd",
    show_default=True,
    help="Strategies, comma-separated; options in brackets: mate-kd[rho=0.4]; your own: ./file.py:Class.",
)
@click.option(
    "--tasks",
    default="all",
    show_default=True,
    help="Task names and globs, comma-separated; all; or your own task: ./task.toml.",
)
@click.option("--seeds", default="1", show_default=True, help="How many (from 0), or which: 0,3,7.")
@preset_option
@data_dir_option
@click.option("--max-train", type=click.IntRange(1), help="Train on a fixed sample of this many rows (recorded).")
@click.option("--recipe", help="kd (default), annealing or continuation: what every update minimises.")
@click.option("--workers", type=click.IntRange(1), help="Processes that rewrite texts.  [default: one a core]")
@set_option
@click.option("--force", is_flag=True, help="Distil even from a teacher that learned nothing.")
@click.option("--redo", is_flag=True, help="Run cells again that have a record.")
@results_option
def run(
    strategies: str,
    tasks: str,
    seeds: str,
    preset: str,
    data_dir: Path | None,
    max_train: int | None,
    recipe: str | None,
    workers: int | None,
    overrides: tuple[str, ...],
    force: bool,
    redo: bool,
    results: Path,
) -> None:
    """Train and score strategies on tasks, all from the same teacher on the same budget.

    The teacher of each task is fine-tuned first, and cached. The same command again does only what is
    missing; a run that was cut off goes on from its checkpoint.
    """
    from bench.data.custom import load_task_file
    from bench.experiment.grid import choose_tasks, make_grid
    from bench.experiment.presets import open_data
    from bench.experiment.progress import watching
    from bench.spec import StrategySpec, split_list

    extra = [f"data.max_train={max_train}"] * bool(max_train) + ["teacher.force=true"] * force
    extra += [f"recipe.method={recipe}"] * bool(recipe)
    settings, source = open_data(preset, [*overrides, *extra], data_dir)
    specs = list(dict.fromkeys(StrategySpec.parse(text) for text in split_list(strategies)))
    if not specs:
        raise UsageError("--strategy names no strategy; see: bench list strategies")
    files: list[str] = []
    names: list[str] = []
    for name in split_list(tasks):
        (files if name.endswith(".toml") else names).append(name)
    if not files + names:
        raise UsageError("--tasks names no task; see: bench list tasks")
    wanted = {source: names} if names else {}
    wanted |= {own: list(own.tasks) for own in (load_task_file(Path(file)) for file in files)}

    grids = []
    notes: list[str] = []
    for where, names_there in wanted.items():
        chosen, left_out = choose_tasks(names_there, where)
        notes += left_out
        grids.append((where, make_grid(settings, where, chosen, specs, _seeds(seeds))))

    # Only now what takes seconds to import: a misspelt name is answered at once.
    from bench.experiment.launch import launch, plan, preflight
    from bench.experiment.parts import Parts

    records = []
    with watching() as progress:
        work = []
        for note in notes:
            progress.note(note)
        for where, cells in grids:
            parts = Parts(settings, where, results, progress, workers)
            preflight(cells, parts, results, progress)
            work.append((plan(cells, results, redo=redo, progress=progress), parts))
        number, of = 0, sum(len(planned.missing) for planned, _ in work)
        for planned, parts in work:
            records += planned.done
            records += launch(planned.missing, parts, results, progress, number, of)
            number += len(planned.missing)
    _show(records, results, of)
    if failed := sum(record["status"] == "failed" for record in records):
        raise BenchError(f"{failed} of {len(records)} cells failed; the same command tries them again")


def _show(records: list[dict[str, Any]], results: Path, ran: int) -> None:
    """Print the leaderboard of this command's cells and where their files are."""
    from bench.reporting import tables
    from bench.reporting.leaderboard import averages, failures, leaderboard

    frame = leaderboard(records)
    grids = tables.grids(frame, averages(frame), failures(records))
    to_terminal = sys.stdout.isatty()
    click.echo(tables.text(grids, tables.page_width(to_terminal), to_terminal))
    done_before = f", {len(records) - ran} were there already" if ran < len(records) else ""
    click.echo(f"{ran} cells run{done_before}; records and predictions: {results / 'runs'}")
    click.echo("all results so far: bench compare" + (f" --results {results}" if str(results) != "results" else ""))


def _seeds(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds takes a number of seeds (3) or the seeds (0,3,7), not {text!r}") from None
    if min(numbers) < 0 or numbers == [0]:
        raise UsageError(f"--seeds takes a number of seeds (3) or the seeds (0,3,7), not {text!r}")
    return list(dict.fromkeys(numbers)) if len(numbers) > 1 else list(range(numbers[0]))
