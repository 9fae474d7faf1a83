"""`bench attack`: kept students of finished runs under attack by published recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.brackets import split_list
from bench.cli.choices import format_option, results_option
from bench.cli.found import Wanted, chosen_runs, plain_evaluations, runs_options, say_lacking
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.experiment.attacking import Attacks


@click.command(
    epilog="""\b
Examples:
  bench attack --recipes deepwordbug,pwws --tasks sst2 --rows 200
  bench attack --recipes 'textfooler[vectors=vectors.txt],bae' --strategy 'none,mate-kd*' --budget 1000
  bench attack --list
then: bench compare --attacks
"""
)
@click.option("--recipes", help="Recipes, comma-separated; options in brackets: bae[sentence_encoder=none].")
@runs_options
@click.option(
    "--rows",
    type=click.IntRange(2),
    default=200,
    show_default=True,
    help="Dev rows that are attacked: a fixed sample, the same for all students.",
)
@click.option(
    "--budget",
    type=click.IntRange(2, 10**9),
    default=500,
    show_default=True,
    help="Texts that a recipe may ask the student about per row.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes that attack.  [default: one per core]")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="GLUE folder, where it is no longer where the run's command found it.",
)
@click.option("--task-file", type=click.Path(path_type=Path), help="Task file, where it is no longer where it was.")
@click.option("--redo", is_flag=True, help="Score again what is there already; rows are attacked once only.")
@click.option("--list", "list_recipes", is_flag=True, help="List the recipes, and what they lack on this machine.")
@format_option
@results_option
def attack(
    wanted: Wanted,
    recipes: str | None,
    rows: int,
    budget: int,
    workers: int | None,
    data_dir: Path | None,
    task_file: Path | None,
    redo: bool,
    list_recipes: bool,
    form: str,
    results: Path,
) -> None:
    """Attack the students that finished runs keep: all runs, or those of the IDs.

    Each row of the sample is changed as the recipe's authors do it until the student errs, or the budget is used up.
    Accuracy under attack, and what became of each row, lie beside the record in evaluations/. The same command again
    goes on where it stopped: no row of a student is attacked twice.
    """
    if list_recipes:
        click.echo(_listing())
        return
    if recipes is None:
        raise UsageError("which recipes? --recipes deepwordbug,pwws; all there are: bench attack --list")
    from bench.experiment.recipes import recipes_of

    asked = recipes_of(split_list(recipes), budget)
    chosen = chosen_runs(results, wanted)
    from bench.experiment.progress import watching

    with watching() as progress:
        from bench.experiment.attack_setting import Settings
        from bench.experiment.attacking import attack_runs

        settings = Settings(rows, budget, workers, data_dir, task_file, redo)
        attacks = attack_runs(results, chosen, asked, settings, progress)
    click.echo(json.dumps(plain_evaluations(attacks), indent=1) if form == "json" else _table(attacks))
    for reason in attacks.left_out:
        click.echo(f"left out: {reason}", err=True)
    if attacks.failed:
        raise BenchError(f"{len(attacks.failed)} attacks failed; the same command tries them again")
    say_lacking(attacks, everything=bool(wanted.ids))


def _table(attacks: Attacks) -> str:
    """Return a line for each attack on a student, and how to go on."""
    lines: list[str] = []
    for run, e in sorted(attacks.evaluations, key=lambda pair: (pair[1].name, pair[0].task, pair[0].strategy)):
        if (attack := e.attack) is None:
            continue
        success, changed = (_percent(share) for share in (attack.success, attack.words_changed))
        queries = "-" if attack.queries is None else f"{attack.queries:.1f}"
        alike = "-" if attack.similarity is None else f"{attack.similarity:.2f}"
        failed = f"  the recipe failed on {attack.failed} rows" if attack.failed else ""
        lines.append(
            f"{attack.recipe:<12} {run.task:<6} {run.strategy:<32} seed {run.seed}  accuracy {_percent(attack.clean)} "
            f"-> {_percent(e.main.value)}  success {success}  queries {queries}  words {changed}  similarity {alike}"
            + failed
        )
    lines += dict.fromkeys(
        f"{e.attack.recipe} on {run.task}: {e.rows:,} of {e.official or e.rows:,} dev rows, at most "
        f"{e.attack.budget:,} queries each"
        for run, e in attacks.evaluations
        if e.attack is not None
    )
    lines.append(f"{attacks.fresh} attacks made, {len(attacks.evaluations) - attacks.fresh} were there already")
    return "\n".join([*lines, *["trained with x attacked by: bench compare --attacks"] * bool(attacks.evaluations)])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _listing() -> str:
    """Return a line for each recipe."""
    from bench.cli.entries import column, entry
    from bench.experiment.recipes import recipe_rows

    rows = recipe_rows()
    return "\n".join(entry(row["name"], [row["about"], *row["lacks"]], column(rows)) for row in rows)
