"""`bench list`: the strategies, tasks and presets there are, without importing anything heavy."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from fnmatch import fnmatchcase
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


@list_.command(
    short_help="What each is, and whether it can run here.", epilog="Example: bench list strategies 'nlpaug:*' eda"
)
@click.argument("names", nargs=-1)
@click.option("--ready", is_flag=True, help="Only those that lack nothing on this machine.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Also models needed and options; the default where NAMES are given."
)
@format_option
def strategies(names: tuple[str, ...], ready: bool, verbose: bool, form: str) -> None:
    """List the strategies: what each is, and whether it is ready or what it lacks here and how to get that.

    NAMES choose some and show all about them: a name, a family (nlpaug) or a pattern ('*delete*'). An option is given
    in brackets behind the name: bench run --strategy 'mate-kd[rho=0.4]'.
    """
    from bench.registry import families
    from bench.spec import listing

    rows, found = listing(), families()
    absent = {name: family.missing for name, family in found.items() if family.missing is not None}
    if names:
        for name in names:
            if name not in absent and not any(_is_meant(name, row["name"]) for row in rows):
                raise unknown("strategy or family", name, [*(row["name"] for row in rows), *found])
        rows = [row for row in rows if any(_is_meant(name, row["name"]) for name in names)]
        absent = {name: why for name, why in absent.items() if name in names}
    if ready:
        rows = [row for row in rows if not row["missing"]]
    if form == "json":
        for name, why in absent.items():
            click.echo(f"{name}: {why}", err=True)
        _print_json(rows)
        return
    groups: dict[str, list[dict[str, Any]]] = {"": [], **{name: [] for name in found}}
    for row in rows:
        family = row["name"].partition(":")[0]
        groups[family if ":" in row["name"] and family in found else ""].append(row)
    details = verbose or bool(names)
    for family, members in groups.items():
        if family and members:
            able = sum(not row["missing"] for row in members)
            click.echo(f"\n{family}: {able} of {len(members)} ready")
        for row in members:
            _print_strategy(row, _column(members), details=details)
    for name, why in absent.items():
        click.echo(f"\n{name}: {why}")
    lacks = {lack["name"]: lack["command"] for row in rows for lack in row["missing"]}
    if lacks and not details:
        click.echo("\nHow to get what is missing (bench prefetch does what it can; more: bench list strategies NAME):")
        for name, command in lacks.items():
            click.echo(f"  {name}: {command}")


def _is_meant(asked: str, name: str) -> bool:
    return name == asked or name.startswith(f"{asked}:") or fnmatchcase(name, asked)


def _print_strategy(row: dict[str, Any], column: int, *, details: bool) -> None:
    """Print a strategy: in a line and what it lacks in another, or with ``details`` all about it."""
    indent = column + len("ready  ")
    options = [f"{name}={o['default']} ({o['type']})" for name, o in row["options"].items()]
    if details:
        lines = [row["about"]]
        lines += [f"missing: {lack['name']} (get it: {lack['command']})" for lack in row["missing"]]
        lines.append(f"needs: {', '.join(row['needs']) or 'no other model'}")
        lines += [f"options: {', '.join(options)}"] if options else []
    else:
        lines = [textwrap.shorten(row["about"], _width(indent) - indent, placeholder=" …")]
        lines += [f"missing: {', '.join(lack['name'] for lack in row['missing'])}"] if row["missing"] else []
    _print_entry(row["name"].ljust(column) + ("" if row["missing"] else "ready"), lines, indent)


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
    from bench.data.sources import describe
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
        _print_entry(row["name"], lines, _column(rows))


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
        _print_entry(row["name"], lines, _column(rows))


def _print_json(rows: Sequence[dict[str, Any]]) -> None:
    click.echo(json.dumps(rows, indent=1))


def _column(rows: Sequence[dict[str, Any]]) -> int:
    """Return the width of a column for the names of ``rows``."""
    return max(len(row["name"]) for row in rows) + 2


def _width(indent: int) -> int:
    """Return the width of the terminal; where it is very narrow, of a text behind ``indent`` columns."""
    return max(shutil.get_terminal_size(fallback=(100, 24)).columns, indent + 20)


def _print_entry(name: str, lines: Sequence[str], indent: int) -> None:
    """Print ``lines`` beside ``name``, from column ``indent`` on, no wider than the terminal."""
    width = _width(indent)
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
