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
# Training rows that baselines are fitted on at most.
_FITTED = 10_000


@click.command(
    short_help="Metrics, rows found of the official ones; checks your own FILE.toml.",
    epilog="Example: bench list tasks --preset minilm --data-dir glue",
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@preset_option
@data_dir_option
@click.option("--baselines", is_flag=True, help="Also what models score that see too little of a row.")
@format_option
def tasks(files: tuple[Path, ...], preset: str, data_dir: Path | None, baselines: bool, form: str) -> None:
    """List the tasks of a preset's data source: metrics, and the rows found of the official ones.

    A task is partial where a split found lacks official rows: its scores are not comparable with published
    ones. From the hub, listing downloads what is not in the cache yet. With FILES, task files of your own are
    read to the last row instead, and their first rows and what is doubtful about them are shown.

    --baselines says what a score has to be compared with: the best constant answer, a bag of the words of one text
    alone, and what two texts share; of single texts, words and pairs of words. They are fitted on the training rows, on
    a sample where there are many, and scored on dev in the task's main metric, in points of 100.
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
        sources, data, rows = [source], {}, describe(source)
    if baselines:
        of_task = {name: (source, task) for source in sources for name, task in source.tasks.items()}
        for row in rows:
            source, task = of_task[row["name"]]
            if not row["error"] and task.trained_on is None:
                row["baselines"] = _baselines(data.get(row["name"]) or source.load(row["name"]))
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
        if "baselines" in row:
            scores = ", ".join(f"{name} {100 * value:.1f}" for name, value in row["baselines"].items())
            sampled = f" (fitted on {_FITTED:,} rows)" if row["rows"]["train"] > _FITTED else ""
            lines.append(f"baselines: {scores}{sampled}")
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


def _baselines(data: TaskData) -> dict[str, float]:
    from bench.evaluation.baselines import baselines

    return baselines(data.task, data.splits["train"], data.splits["dev"], _FITTED)


def _examples(data: TaskData, room: int) -> Sequence[str]:
    """Return the first training rows, each in a line of ``room`` characters."""
    rows: list[Any] = data.splits["train"][:_SHOWN]
    texts = [f"{data.task.label_name(row.label)}: {' | '.join(row.texts)}" for row in rows]
    return [textwrap.shorten(text, room, placeholder=" …") for text in texts]
