"""`bench profile`: how fast a strategy trains here, against plain KD, the plain reference and the hardware."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.choices import data_dir_option, preset_option, results_option, set_option
from bench.errors import UsageError, unknown

if TYPE_CHECKING:
    from bench.data.encode import Encoded
    from bench.data.tasks import Task
    from bench.experiment.progress import Progress
    from bench.strategy import Models


@click.command(epilog="Example: bench profile --strategy mate-kd --preset minilm --data-dir glue --tasks rte,sst2")
@click.option(
    "--strategy", default="mate-kd", show_default=True, help="Strategies, comma-separated, options in brackets."
)
@click.option("--tasks", default="rte", show_default=True, help="Task names, globs, or your own ./task.toml.")
@preset_option
@data_dir_option
@set_option
@click.option("--steps", default=6, show_default=True, type=click.IntRange(1), help="Student updates to time.")
@click.option(
    "--adversary-steps", default=2, show_default=True, type=click.IntRange(1), help="Adversary updates to time."
)
@click.option(
    "--reference-steps",
    default=2,
    show_default=True,
    type=click.IntRange(0),
    help="Updates of each kind of the plain reference to time; it is slow. 0 leaves it out.",
)
@click.option("--random-weights", is_flag=True, help="Models of the preset's shape with random weights, made-up texts.")
@click.option("--length", default=64, show_default=True, help="Word pieces per text, with --random-weights.")
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
    adversary_steps: int,
    reference_steps: int,
    random_weights: bool,
    length: int,
    form: str,
    compare: tuple[Path, Path] | None,
    results: Path,
) -> None:
    """Time a strategy's updates by phase, on real batches and untrained weights (training does not change speed).

    Plain KD and the plain reference implementation take turns with it in one run. Operations are counted by torch;
    those necessary are: student forward and backward (twice a forward) on clean and perturbed rows, teacher and
    generator forward on perturbed rows, the generator's head at masked positions only, no padding; for a generator
    update its forward and backward, and teacher and student forward and backward to their inputs.
    """
    if compare is not None:
        click.echo(_compared(*map(_read, compare)))
        return
    from bench.data.custom import by_source
    from bench.experiment.grid import choose_tasks
    from bench.experiment.parts import Parts
    from bench.experiment.presets import load_settings, open_data
    from bench.experiment.progress import watching
    from bench.profiling.departures import departures
    from bench.profiling.measurement import profile as measure
    from bench.profiling.shapes import random_models
    from bench.spec import StrategySpec, expanded, split_list

    given = load_settings(preset, overrides).strategies
    specs, profiles = [StrategySpec.parse(text, given) for text in expanded(split_list(strategy))], []
    with watching() as progress:
        if random_weights:
            from bench.data.tasks import GLUE

            settings = load_settings(preset, overrides)
            for name in split_list(tasks):
                if name not in GLUE:
                    raise unknown("task", name, GLUE)
            chosen: list[tuple[Task, Parts | None]] = [(GLUE[name], None) for name in split_list(tasks)]
        else:
            settings, source = open_data(preset, overrides, data_dir)
            chosen = []
            for where, names in by_source(split_list(tasks), source).items():
                own = Parts(settings, where, results, progress)
                chosen += [(task, own) for task in choose_tasks(names, where)[0]]
        for task, parts in chosen:
            if parts is None:
                from bench.models.accelerator import PreciseAccelerator

                recipe = settings.recipe
                accelerator = PreciseAccelerator(recipe.precision, cpu=recipe.device == "cpu")
                models, train = random_models(settings, task, length, accelerator, results / "cache")
            else:
                models, train = parts.untrained(task), parts.encoded(task.name)["train"]
            effect = None
            if settings.teacher.precision == "bf16" and models.teacher is not None:
                effect = _effect(models, train, progress)
            for spec in specs:
                progress.note(f"profiling {spec} on {task.name}")
                measured = measure(
                    spec,
                    models,
                    train,
                    settings.recipe,
                    max_length=settings.data.max_length,
                    student_steps=steps,
                    adversary_steps=adversary_steps,
                    reference_steps=reference_steps,
                )
                profiles.append(
                    {
                        **measured,
                        "preset": settings.preset,
                        "random_weights": random_weights,
                        "teacher_precision": settings.teacher.precision,
                        "teacher_precision_effect": effect,
                        "departures": departures(settings, spec.create()),
                    }
                )
    if form == "json":
        click.echo(json.dumps(profiles, indent=1))
    else:
        click.echo("\n\n".join([*map(_text, profiles), *([_costs(profiles)] if len(specs) > 1 else [])]))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UsageError(f"{path} is no profile: {error}; make one with --format json") from error


def _effect(models: Models, train: Encoded, progress: Progress) -> str:
    """Turn the teacher into bf16; say and return what that does to its logits."""
    from bench.distill.teacher import lower_precision

    assert models.teacher is not None
    effect, _ = lower_precision(models.teacher, train.first(256), models.accelerator)
    progress.note(f"the teacher in bf16: {effect}")
    return str(effect)


_PHASES = ("data", "generator forward", "teacher forward", "student forward", "backward", "optimiser", "rest")


def _text(row: dict[str, Any]) -> str:
    """Return one profile as lines a person reads."""
    batch = f"{row['batch_tokens']} pieces" if row["batch_tokens"] else str(row["batch_size"])
    lines = [
        f"{row['strategy']} on {row['task']} ({row['preset']}, batch {batch}, {row['precision']}, "
        f"{row['attention']} attention, {row['device']} with {row['threads']} threads)"
    ]

    def line(name: str, value: str) -> None:
        lines.append(f"  {name:<34}{value}")

    def took(which: str, phase: str | None = None) -> str:
        total = row[f"seconds_{which}_step"]
        if total is None:
            return ""
        part = total if phase is None else row[f"phases_{which}"].get(phase, 0.0)
        return f"{part * 1e3:>12.1f} {part / total:>5.0%}"

    line("milliseconds an update", f"{'student':>18}{'adversary':>18}" if took("adversary") else f"{'student':>18}")
    for phase in _PHASES:
        line(f"  {phase}", took("student", phase) + took("adversary", phase))
    line("  all", took("student") + took("adversary"))
    line("samples, word pieces a second", f"{row['samples_per_second']:.1f}, {row['tokens_per_second']:.0f}")
    line("plain KD, cached logits", f"{row['seconds_kd_step'] * 1e3:.0f} ms; {row['cost_over_kd']:.2f} times that")
    if row["speedup_over_reference"] is not None:
        ours = [f"{row['student_updates_per_cycle']} student"]
        theirs = [f"student {row['seconds_reference_student_step']:.2f} s"]
        if row["seconds_reference_adversary_step"]:
            ours.append(f"{row['adversary_updates_per_cycle']} adversary updates")
            theirs.append(f"adversary {row['seconds_reference_adversary_step']:.2f} s")
        line(
            "plain reference",
            f"{row['speedup_over_reference']:.1f} times our cycle of {' and '.join(ours)} (padded to "
            f"{row['reference_pads_to']}; {', '.join(theirs)})",
        )
    for kind, name in (("", "student"), ("_adversary", "adversary")):
        if row[f"operations_{name}_step"]:
            ratio = row[f"operations_ratio{kind}"]
            line(
                f"operations, {name} update",
                f"{row[f'operations_{name}_step'] / 1e9:.1f} G"
                + (f", {ratio:.3f} of the necessary" if ratio else "")
                + f"; {row[f'peak_fraction{kind}']:.2f} of the matmul peak, {row['matmul_peak'] / 1e9:.0f} G/s",
            )
    line("padding, data loading", f"{row['padding_share']:.1%} of the pieces, {row['data_share']:.2%} of the time")
    if row["teacher_cache_hits"] is not None:
        line("teacher's answers from the cache", f"{row['teacher_cache_hits']:.0%}")
    line("peak memory of an update", f"{row['peak_memory_gb']:.2f} GB")
    if row["teacher_precision_effect"]:
        line("teacher in bf16", row["teacher_precision_effect"])
    meanings = {"algorithm": "another algorithm", "numbers": "other rounding", "none": "the same numbers"}
    for kind, names in row["departures"].items():
        for name in names:
            line(meanings[kind], name)
    if not any(row["departures"].values()):
        line("options", "all exact: the published algorithm, within 1e-5 of the plain reference (tests)")
    return "\n".join(lines)


def _costs(rows: list[dict[str, Any]]) -> str:
    """Return the cost of an update of every strategy over plain KD's, timed beside it, as a table."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    width = max(len(row["strategy"]) for row in rows)
    cost = {(row["strategy"], row["task"]): row for row in rows}
    lines = [f"{'update over plain KD, cached logits':<{max(width, 35)}}" + "".join(f"{task:>8}" for task in tasks)]
    for strategy in dict.fromkeys(row["strategy"] for row in rows):
        values = (cost[strategy, task]["cost_over_kd"] for task in tasks)
        lines.append(f"{strategy:<{max(width, 35)}}" + "".join(f"{value:>8.2f}" for value in values))
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
