"""`bench list`: the strategies, tasks and presets there are, without importing anything heavy."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli.options import data_dir_option, preset_option
from bench.errors import unknown

format_option = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)


class _Kinds(click.Group):
    """A group whose unknown commands get the nearest match, as everywhere else."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the kind asked for; UsageError names the nearest or all of them."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown("list", args[0], self.commands)
        return super().resolve_command(ctx, args)


@click.group(name="list", cls=_Kinds, epilog="Example: bench list strategies")
def list_() -> None:
    """List strategies, tasks or presets."""


@list_.command(short_help="Names, models needed, options.", epilog="Example: bench list strategies --format json")
@format_option
def strategies(form: str) -> None:
    """List the strategies: what each is, the models it needs, its options with type and default.

    An option is given in brackets behind the name: bench run --strategy 'mate-kd[rho=0.4]'.
    """
    from bench.registry import listing

    rows = listing()
    if form == "json":
        _print_json(rows)
        return
    for row in rows:
        lines = [row["about"], f"needs: {', '.join(row['needs']) or 'no other model'}"]
        options = [f"{name}={o['default']} ({o['type']})" for name, o in row["options"].items()]
        if options:
            lines.append(f"options: {', '.join(options)}")
        _print_entry(row["name"], lines, rows)


@list_.command(
    short_help="Metrics, and rows found of the official ones.",
    epilog="Example: bench list tasks --preset minilm --data-dir glue",
)
@preset_option
@data_dir_option
@format_option
def tasks(preset: str, data_dir: Path | None, form: str) -> None:
    """List the tasks of a preset's data source: metrics, and the rows found of the official ones.

    A task is partial where a split found lacks official rows: its scores are not comparable with published
    ones. From the hub, listing downloads what is not in the cache yet.
    """
    from bench.data.source import describe
    from bench.experiment.presets import open_data

    settings, source = open_data(preset, (), data_dir)
    rows = describe(source)
    if form == "json":
        _print_json(rows)
        return
    place = f" {data_dir}" if data_dir is not None else ""
    click.echo(f"preset {settings.preset}, data from {source.name}{place}")
    for row in rows:
        lines = [f"{row['title']}: {row['about']}"]
        if row["error"]:
            lines.append(f"unavailable: {row['error']}")
        else:
            partial = "partial: " if row["partial"] else ""
            lines.append(f"{', '.join(row['metrics'])}; {partial}{_rows(row['rows'], row['official'])}")
        _print_entry(row["name"], lines, rows)


def _rows(found: dict[str, int], official: dict[str, int]) -> str:
    parts = []
    for split in {**official, **found}:
        if split not in found:
            parts.append(f"no {split}")
            continue
        of = f" of {official[split]:,}" if found[split] != official.get(split, found[split]) else ""
        parts.append(f"{split} {found[split]:,}{of}")
    return ", ".join(parts)


@list_.command(short_help="Data, teacher, student, generator.", epilog="Example: bench list presets")
@format_option
def presets(form: str) -> None:
    """List the presets: data, teacher, student and generator."""
    from bench.experiment.presets import load_settings, preset_names

    rows: list[dict[str, Any]] = []
    for name in preset_names():
        settings = load_settings(name)
        models = {role: getattr(settings, role).model for role in ("teacher", "student", "generator")}
        layers = {"student_layers": settings.student.layers, "generator_layers": settings.generator.layers}
        rows.append({"name": name, "about": settings.about, "data": settings.data.source, **models, **layers})
    if form == "json":
        _print_json(rows)
        return
    for row in rows:
        lines = [row["about"], f"data: {row['data']}; teacher: {row['teacher']}"]
        for role in ("student", "generator"):
            layers_kept = row[f"{role}_layers"]
            lines[-1] += f"; {role}: {row[role]}" + (f" (layers: {layers_kept})" if layers_kept else "")
        _print_entry(row["name"], lines, rows)


def _print_json(rows: Sequence[dict[str, Any]]) -> None:
    click.echo(json.dumps(rows, indent=1))


def _print_entry(name: str, lines: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Print ``lines`` beside ``name``, in a column wide enough for the names of all ``rows``."""
    indent = max(len(row["name"]) for row in rows) + 2
    width = max(shutil.get_terminal_size(fallback=(100, 24)).columns, indent + 40)
    wrapped = [
        part
        for number, line in enumerate(lines)
        for part in textwrap.wrap(
            line,
            width - indent,
            subsequent_indent="  " if number else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
    click.echo(name.ljust(indent) + wrapped[0])
    for line in wrapped[1:]:
        click.echo(" " * indent + line)
