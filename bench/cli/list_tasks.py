"""`bench list tasks`: what a data source, or a task file of one's own, holds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.choices import data_dir_option, format_option, preset_option
from bench.cli.entries import column, print_entry, print_json, width
from bench.errors import unknown

if TYPE_CHECKING:
    from bench.data.source import Source, TaskData

# Training rows that are printed of a task that is named.
_SHOWN = 3
# Training rows that baselines are fitted on at most.
_FITTED = 10_000


@click.command(
    short_help="Metrics, rows found of the official ones; checks your own FILE.toml.",
    epilog="Example: bench list tasks --preset minilm --data-dir glue",
)
@click.argument("names", nargs=-1, metavar="[NAME|FILE.toml]...")
@preset_option
@data_dir_option
@click.option("--baselines", is_flag=True, help="Also what models score that see too little of a row.")
@format_option
def tasks(names: tuple[str, ...], preset: str, data_dir: Path | None, baselines: bool, form: str) -> None:
    """List the tasks of a preset's data source: metrics, and the rows found of the official ones.

    A task is partial where a split found lacks official rows: its scores are not comparable with published
    ones. From the hub, listing downloads what is not in the cache yet. With NAMES (cola, 'm*'), those tasks alone are
    read to the last row, and their first rows and what is doubtful about them are shown; so are task files of your own.

    --baselines says what a score has to be compared with: the best constant answer, a bag of the words of one text
    alone, and what two texts share; of single texts, words and pairs of words. They are fitted on the training rows, on
    a sample where there are many, and scored on dev in the task's main metric, in points of 100.
    """
    from bench.data.source import doubts
    from bench.data.sources import describe

    rows: list[dict[str, Any]] = []
    data: dict[str, TaskData] = {}
    asked = _asked(names, preset, data_dir)
    for source, chosen in asked.items():
        rows += describe(source, chosen)
        for row in rows[-len(chosen) :] if names else ():
            # What is wrong with a file of one's own is an error; what a suite lacks here is said in its row.
            is_here = source.name == "file" or not row["error"]
            if is_here and source.tasks[row["name"]].trained_on is None:
                data[row["name"]] = source.load(row["name"])
                row["doubts"] = doubts(data[row["name"]])
    if baselines:
        of_task = {name: (source, task) for source in asked for name, task in source.tasks.items()}
        for row in rows:
            source, task = of_task[row["name"]]
            if not row["error"] and task.trained_on is None:
                row["baselines"] = _baselines(data.get(row["name"]) or source.load(row["name"]))
    if form == "json":
        print_json(rows)
        return
    if not names:
        place = f" {data_dir}" if data_dir is not None else ""
        click.echo(f"preset {Path(preset).stem}, data from {source.name}{place}")
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


def _asked(names: Sequence[str], preset: str, data_dir: Path | None) -> dict[Source, list[str]]:
    """Return the tasks that ``names`` choose by where their rows are; without names all of the preset's."""
    from bench.brackets import matching
    from bench.data.custom import by_source, load_task_file
    from bench.experiment.presets import open_data

    if names and all(name.endswith(".toml") for name in names):
        return {source: list(source.tasks) for source in map(load_task_file, map(Path, names))}
    _, of_preset = open_data(preset, (), data_dir)
    asked = by_source(names or ["all"], of_preset)
    for source, patterns in asked.items():
        chosen: dict[str, None] = {}
        for pattern in patterns:
            matches = matching("*" if pattern == "all" else pattern, source.tasks)
            if not matches:
                raise unknown("task", pattern, source.tasks, "(your own: ./FILE.toml)")
            chosen |= dict.fromkeys(matches)
        asked[source] = list(chosen)
    return asked


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
