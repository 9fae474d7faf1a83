"""`bench profile`: how fast a strategy trains here, against plain KD, the plain reference and the hardware."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.cli.options import data_dir_option, preset_option, results_option, set_option
from bench.errors import UsageError, unknown


@click.command(epilog="Example: bench profile --strategy mate-kd --preset minilm --data-dir glue --tasks rte,sst2")
@click.option("--strategy", default="mate-kd", show_default=True, help="One strategy, options in brackets.")
@click.option("--tasks", default="rte", show_default=True, help="Task names and globs, comma-separated.")
@preset_option
@data_dir_option
@set_option
@click.option("--steps", default=6, show_default=True, type=click.IntRange(1), help="Student updates to time.")
@click.option(
    "--reference-steps",
    default=2,
    show_default=True,
    type=click.IntRange(0),
    help="Updates of each kind of the plain reference to time; it is slow. 0 leaves it out.",
)
@click.option("--random-weights", is_flag=True, help="Models of the preset's shape with random weights, made-up texts.")
@click.option("--length", default=64, show_default=True, help="Word pieces a text, with --random-weights.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output."
)
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Two files of --format json: show what changed instead of measuring.",
)
@results_option
def profile(
    strategy: str,
    tasks: str,
    preset: str,
    data_dir: Path | None,
    overrides: tuple[str, ...],
    steps: int,
    reference_steps: int,
    random_weights: bool,
    length: int,
    form: str,
    compare: tuple[Path, Path] | None,
    results: Path,
) -> None:
    """Time a strategy's updates by phase, on real batches and untrained weights (training does not change speed).

    Plain KD and the plain reference implementation take turns with it on the same batches in one run.
    """
    if compare is not None:
        click.echo(_compared(*map(_read, compare)))
        return
    from bench.experiment.grid import choose_tasks
    from bench.experiment.parts import Parts
    from bench.experiment.presets import load_settings, open_data
    from bench.experiment.progress import watching
    from bench.profiling.profile import profile as measure
    from bench.profiling.shapes import random_models
    from bench.registry import StrategySpec, split_list

    spec, found = StrategySpec.parse(strategy), []
    with watching() as progress:
        if random_weights:
            from bench.data.tasks import GLUE

            settings = load_settings(preset, overrides)
            for name in split_list(tasks):
                if name not in GLUE:
                    raise unknown("task", name, GLUE)
            chosen = [GLUE[name] for name in split_list(tasks)]
            parts = None
        else:
            settings, source = open_data(preset, overrides, data_dir)
            chosen, _ = choose_tasks(split_list(tasks), source)
            parts = Parts(settings, source, results, progress)
        for task in chosen:
            if parts is None:
                from accelerate import Accelerator

                recipe = settings.recipe
                precision = "bf16" if recipe.precision == "bf16" else "no"
                accelerator = Accelerator(cpu=recipe.device == "cpu", mixed_precision=precision)
                models, train = random_models(settings, task, length, accelerator, results / "cache")
            else:
                models, train = parts.untrained(task), parts.encoded(task.name)["train"]
            progress.note(f"profiling {spec} on {task.name}")
            found.append(
                measure(
                    spec,
                    models,
                    train,
                    settings.recipe,
                    max_length=settings.data.max_length,
                    student_steps=steps,
                    reference_steps=reference_steps,
                )
                | {"preset": settings.preset, "random_weights": random_weights}
            )
    click.echo(json.dumps(found, indent=1) if form == "json" else "\n\n".join(map(_text, found)))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UsageError(f"{path} is no profile: {error}; make one with --format json") from error


def _text(row: dict[str, Any]) -> str:
    """Return one profile as lines a person reads."""
    lines = [f"{row['strategy']} on {row['task']} ({row['preset']}, batch {row['batch_size']}, {row['precision']})"]

    def line(name: str, value: str) -> None:
        lines.append(f"  {name:<34}{value}")

    def phases(which: str) -> str:
        shares = sorted(row[f"phases_{which}"].items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {seconds * 1e3:.0f}" for name, seconds in shares if seconds > 5e-4)

    line("student update", f"{row['seconds_student_step'] * 1e3:.0f} ms: {phases('student')}")
    if row["seconds_adversary_step"]:
        line("adversary update", f"{row['seconds_adversary_step'] * 1e3:.0f} ms: {phases('adversary')}")
    line("texts, word pieces a second", f"{row['samples_per_second']:.0f}, {row['tokens_per_second']:.0f}")
    line("plain KD, same batches", f"{row['seconds_kd_step'] * 1e3:.0f} ms; {row['cost_over_kd']:.2f} times that")
    if row["speedup_over_reference"] is not None:
        line(
            "plain reference, same batches",
            f"{row['speedup_over_reference']:.1f} times our cycle of 10 + 100 (padded to {row['reference_pads_to']}; "
            f"student {row['reference_over_student_step']:.1f}, "
            f"generator {row['reference_over_adversary_step'] or 0:.1f})",
        )
    if row["operations_ratio"] is not None:
        line(
            "operations, student update",
            f"{row['operations_student_step'] / 1e9:.1f} G, {row['operations_ratio']:.2f} of what is necessary",
        )
    line(
        "rate of the student update",
        f"{row['peak_fraction']:.2f} of the {row['matmul_peak'] / 1e9:.0f} G/s measured for a matrix product",
    )
    line("padding, data loading", f"{row['padding_share']:.1%} of the pieces, {row['data_share']:.1%} of the time")
    line("peak memory of the process", f"{row['peak_memory_gb']:.2f} GB")
    return "\n".join(lines)


def _compared(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> str:
    """Return, for the profiles in both, every number and how it changed."""
    key = ("preset", "task", "strategy", "batch_size", "precision")
    old = {tuple(row[k] for k in key): row for row in before}
    blocks = []
    for row in after:
        was = old.get(tuple(row[k] for k in key))
        if was is None:
            continue
        lines = [f"{row['strategy']} on {row['task']} ({row['preset']})"]
        for name, value in row.items():
            if isinstance(value, float) and isinstance(was.get(name), float) and was[name]:
                lines.append(f"  {name:<32}{was[name]:>14.5g}{value:>14.5g}  x{value / was[name]:.2f}")
        blocks.append("\n".join(lines))
    if not blocks:
        raise UsageError("the two files have no profile of the same preset, task, strategy and batch size")
    return "\n\n".join(blocks)
