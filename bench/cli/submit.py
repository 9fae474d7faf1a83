"""`bench submit`: the zip of eleven files that GLUE's test server takes."""

from __future__ import annotations

import re
from pathlib import Path

import click

from bench.cli.choices import results_option
from bench.errors import BenchError, UsageError


@click.command(epilog="Example: bench submit --strategy mate-kd --preset bert --output glue.zip")
@click.option("--strategy", required=True, help="Whose stored test predictions to submit.")
@click.option(
    "--seed",
    "rule",
    default="best-dev",
    show_default=True,
    help="Which seed of each task: best-dev (the highest score on dev), first, or a number.",
)
@click.option("--preset", help="Only runs of this preset.")
@click.option("--run", "ids", multiple=True, metavar="ID", help="The run to take for its task. Repeatable.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The zip to write.")
@click.option(
    "--fill-missing",
    is_flag=True,
    help="Put one answer for every row where a task's predictions are missing, and mark these files in the list.",
)
@results_option
def submit(
    strategy: str, rule: str, preset: str | None, ids: tuple[str, ...], output: Path, fill_missing: bool, results: Path
) -> None:
    """Make the submission to GLUE's test server of a strategy's stored test predictions.

    Rows, ids, names of classes and the range of scores are checked, and the zip is read back. Beside it, in
    OUTPUT.json, stands which run each file is of. A file that cannot be made is an error that says why.
    """
    from bench.cli.found import told_records
    from bench.files import write_json
    from bench.reporting.kept import find_run
    from bench.reporting.submission import PARTS, choose_runs, collect, manifest, write_zip

    if rule not in ("best-dev", "first") and not re.fullmatch(r"\d{1,9}", rule):
        raise UsageError(f"--seed is best-dev, first or a number, not {rule!r}")
    if output.suffix != ".zip":
        raise UsageError(f"--output is a zip to write (glue.zip), not {output}")
    records = [record for record in told_records(results) if preset in (None, record.preset)]
    fixed = [find_run(results, name, records) for name in ids]
    filed, lacking = collect(choose_runs(records, strategy, rule, fixed), results, fill=fill_missing)
    if lacking and not fill_missing:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in lacking.items())
        raise BenchError(
            f"{len(lacking)} of {len(PARTS)} files cannot be made, so nothing is written:\n{reasons}\n"
            "run what is missing, or have these files filled with one answer: --fill-missing"
        )
    if len(lacking) == len(PARTS):
        raise BenchError(f"no file can be made: {next(iter(lacking.values()))}")
    write_zip(filed, output)
    write_json(output.with_name(f"{output.name}.json"), manifest(filed, output))
    for file in filed:
        if file.run is None:
            origin = f"PLACEHOLDER, {file.answers[0]} for every row: {lacking[file.part.name]}"
        else:
            value = file.run.main.value
            dev = "no score" if value is None else f"{100 * value:.1f}"
            origin = f"run {file.run.id}, {file.run.strategy}, seed {file.run.seed}, dev {file.run.main.metric} {dev}"
        click.echo(f"{file.part.name:<12} {file.part.rows:>7,} rows  {origin}")
    click.echo(f"wrote and read back {output}; what it is made of: {output.name}.json; submit it at gluebenchmark.com")
