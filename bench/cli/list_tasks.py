"""`bench list tasks`: what a data source, or a task file of one's own, holds."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.entries import column, print_entry, print_json
from bench.cli.options import data_dir_option, format_option, preset_option


@click.command(
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
        print_json(rows)
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
        print_entry(row["name"], lines, column(rows))


def _rows(found: dict[str, int], official: dict[str, int]) -> str:
    parts = []
    for split in {**official, **found}:
        if split not in found:
            parts.append(f"no {split}")
            continue
        of = f" of {official[split]:,}" if found[split] != official.get(split, found[split]) else ""
        parts.append(f"{split} {found[split]:,}{of}")
    return ", ".join(parts)
