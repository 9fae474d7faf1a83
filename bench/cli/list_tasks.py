"""`bench list tasks`: what a data source, or a task file of one's own, holds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.choices import data_dir_option, format_option, preset_option
from bench.cli.entries import column, print_entry, print_json, width

if TYPE_CHECKING:
    from bench.data.source import TaskData

# Training rows that are printed of a task file.
_SHOWN = 3


@click.command(
    short_help="Metrics, rows found of the official ones; checks your own FILE.toml.",
    epilog="Example: bench list tasks --preset minilm --data-dir glue",
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@preset_option
@data_dir_option
@format_option
def tasks(files: tuple[Path, ...], preset: str, data_dir: Path | None, form: str) -> None:
    """List the tasks of a preset's data source: metrics, and the rows found of the official ones.

    A task is partial where a split found lacks official rows: its scores are not comparable with published
    ones. From the hub, listing downloads what is not in the cache yet. With FILES, task files of your own are
    read to the last row instead, and their first rows and what is doubtful about them are shown.
    """
    from bench.data.custom import load_task_file
    from bench.data.source import doubts
    from bench.data.sources import describe
    from bench.experiment.presets import open_data

    if files:
        sources = [load_task_file(file) for file in files]
        data = {name: source.load(name) for source in sources for name in source.tasks}
        rows = [{**row, "doubts": doubts(data[row["name"]])} for source in sources for row in describe(source)]
    else:
        settings, source = open_data(preset, (), data_dir)
        data, rows = {}, describe(source)
    if form == "json":
        print_json(rows)
        return
    if not files:
        place = f" {data_dir}" if data_dir is not None else ""
        click.echo(f"preset {settings.preset}, data from {source.name}{place}")
    for row in rows:
        lines = [f"{row['title']}: {row['about']}" if row["about"] else row["title"]]
        if row["error"]:
            lines.append(f"unavailable: {row['error']}")
        else:
            partial = "partial: " if row["partial"] else ""
            lines.append(f"{', '.join(row['metrics'])}; {partial}{_rows(row['rows'], row['official'])}")
        if row["name"] in data:
            lines += _examples(data[row["name"]], width(column(rows)) - column(rows))
        lines += [f"doubtful: {doubt}" for doubt in row.get("doubts", ())]
        print_entry(row["name"], lines, column(rows))


def _rows(rows: dict[str, int], official: dict[str, int]) -> str:
    parts = []
    for split in {**official, **rows}:
        if split not in rows:
            parts.append(f"no {split}")
            continue
        of = f" of {official[split]:,}" if rows[split] != official.get(split, rows[split]) else ""
        parts.append(f"{split} {rows[split]:,}{of}")
    return ", ".join(parts)


def _examples(data: TaskData, room: int) -> Sequence[str]:
    """Return the first training rows, each in a line of ``room`` characters."""
    rows: list[Any] = data.splits["train"][:_SHOWN]
    texts = [f"{data.task.label_name(row.label)}: {' | '.join(row.texts)}" for row in rows]
    return [textwrap.shorten(text, room, placeholder=" …") for text in texts]
