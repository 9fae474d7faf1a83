"""`bench list`: the strategies, tasks and presets there are, without importing anything heavy."""

from __future__ import annotations

import textwrap
from fnmatch import fnmatchcase
from typing import Any

import click

from bench.cli.entries import column, print_entry, print_json, width
from bench.cli.list_tasks import tasks
from bench.cli.options import format_option
from bench.errors import unknown


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
        print_json(rows)
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
            _print_strategy(row, column(members) + len("ready  "), details=details)
    for name, why in absent.items():
        click.echo(f"\n{name}: {why}")
    lacks = {lack["name"]: lack["command"] for row in rows for lack in row["missing"]}
    if lacks and not details:
        click.echo("\nHow to get what is missing (bench prefetch does what it can; more: bench list strategies NAME):")
        for name, command in lacks.items():
            click.echo(f"  {name}: {command}")


def _is_meant(asked: str, name: str) -> bool:
    return name == asked or name.startswith(f"{asked}:") or fnmatchcase(name, asked)


def _print_strategy(row: dict[str, Any], indent: int, *, details: bool) -> None:
    """Print a strategy: in a line and what it lacks in another, or with ``details`` all about it."""
    options = [f"{name}={o['default']} ({o['type']})" for name, o in row["options"].items()]
    if details:
        lines = [row["about"]]
        lines += [f"missing: {lack['name']} (get it: {lack['command']})" for lack in row["missing"]]
        lines.append(f"needs: {', '.join(row['needs']) or 'no other model'}")
        lines += [f"options: {', '.join(options)}"] if options else []
    else:
        lines = [textwrap.shorten(row["about"], width(indent) - indent, placeholder=" …")]
        lines += [f"missing: {', '.join(lack['name'] for lack in row['missing'])}"] if row["missing"] else []
    print_entry(row["name"].ljust(indent - len("ready  ")) + ("" if row["missing"] else "ready"), lines, indent)


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
        print_json(rows)
        return
    for row in rows:
        lines = [row["about"], f"data: {row['data']}; teacher: {row['teacher']}"]
        for role in ("student", "generator"):
            layers_kept = row[f"{role}_layers"]
            lines[-1] += f"; {role}: {row[role]}" + (f" (layers: {layers_kept})" if layers_kept else "")
        print_entry(row["name"], lines, column(rows))


list_.add_command(tasks)
