"""`bench list presets`: which data and models each has, and every setting with its meaning."""

from __future__ import annotations

from typing import Any

import click

from bench.cli.choices import format_option
from bench.cli.entries import column, option_lines, print_entry, print_json, show


@click.command(short_help="Models and data; of one, every setting.", epilog="Example: bench list presets mini")
@click.argument("names", nargs=-1)
@format_option
def presets(names: tuple[str, ...], form: str) -> None:
    """List the presets: data, teacher, student and generator.

    With NAMES (or FILE.toml), every setting of those, with its meaning and bounds, as --set SECTION.KEY=VALUE takes it.
    """
    from bench.experiment.presets import load_settings, preset_names

    chosen = {name: load_settings(name) for name in names or preset_names()}
    rows: list[dict[str, Any]] = []
    for name, settings in chosen.items():
        models = {role: getattr(settings, role).model for role in ("teacher", "student", "generator")}
        layers = {"student_layers": settings.student.layers, "generator_layers": settings.generator.layers}
        row = {"name": name, "about": settings.about, "data": settings.data.source, **models, **layers}
        rows.append(row | ({"settings": _sections(settings)} if names else {}))
    if form == "json":
        print_json(rows)
    elif names:
        show("\n\n".join("\n".join(_page(row)) for row in rows))
    else:
        for row in rows:
            lines = [row["about"], f"data: {row['data']}; teacher: {row['teacher']}"]
            for role in ("student", "generator"):
                layers_kept = row[f"{role}_layers"]
                lines[-1] += f"; {role}: {row[role]}" + (f" (layers: {layers_kept})" if layers_kept else "")
            print_entry(row["name"], lines, column(rows))


def _sections(settings: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Return {section: {setting: what is to say of it, with its value}}."""
    from bench.options import describe, fields_of
    from bench.registry import load

    sections = {}
    for section in fields_of(type(settings)):
        if section not in ("preset", "about", "strategies"):
            values = getattr(settings, section)
            rows = describe(type(values))
            sections[section] = {key: {**row, "value": getattr(values, key)} for key, row in rows.items()}
    for strategy, given in settings.strategies.items():
        rows = describe(load(strategy))
        sections[f"strategies.{strategy}"] = {key: {**rows[key], "value": value} for key, value in given.items()}
    return sections


def _page(row: dict[str, Any]) -> list[str]:
    lines = [f"{row['name']}: {row['about']}"]
    for section, options in row["settings"].items():
        lines += ["", f"{section}:"]
        lines += option_lines(options, 2)
    return lines
