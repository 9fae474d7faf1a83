"""A recorded cell put together again from its record, or the reasons why it would be another."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path

from bench import __version__
from bench.data.custom import load_task_file
from bench.data.held_out import HeldOut
from bench.data.source import Source
from bench.data.sources import open_source
from bench.errors import BenchError, UsageError
from bench.experiment.grid import Cell, make_grid
from bench.experiment.presets import typed_settings
from bench.reporting.schema import Record
from bench.settings import Settings
from bench.spec import StrategySpec


def cell_again(record: Record, data_dir: Path | None = None, task_file: Path | None = None) -> tuple[Cell, Source]:
    """Return the cell that ``record`` is of, and the source of its rows.

    Where the rows come from a folder or a task file, that is what the recorded command named, if no other is given.
    UsageError where these, the strategy or its settings are no longer there.
    """
    try:
        settings = settings_of(record)
        spec = StrategySpec.parse(record.strategy, settings.strategies)
        source = source_of(record, settings, data_dir, task_file)
        if record.task not in source.tasks:
            raise UsageError(f"there is no task {record.task!r} in {source.name}")
        (cell,) = make_grid(settings, source, [source.tasks[record.task]], [spec], [record.seed])
    except BenchError as error:
        raise UsageError(f"run {record.id} cannot be run again: {error}") from error
    return dataclasses.replace(cell, tuned=record.tuned), source


def settings_of(record: Record) -> Settings:
    """Return the settings that took effect in the run of ``record``; UsageError where it holds none."""
    given = {key: value for key, value in record.spec.items() if key not in ("source", "fingerprint")}
    if not given:
        raise UsageError("its record holds no settings")
    return typed_settings(given)


def source_of(record: Record, settings: Settings, data_dir: Path | None, task_file: Path | None) -> Source:
    """Return the source of the rows of ``record``, as ``cell_again`` finds it; UsageError where there is none."""
    source: Source
    if record.spec.get("source") == "file":
        source = load_task_file(task_file or _task_file(record))
    elif settings.data.source == "folder":
        folder = data_dir or _argument(record, "--data-dir")
        if folder is None:
            raise UsageError("its rows came from a folder that its record does not name: give --data-dir DIR")
        source = open_source("folder", folder)
    else:
        source = open_source(settings.data.source)
    held_out = HeldOut(source)
    is_trial = record.task in held_out.tasks and record.spec.get("fingerprint") == held_out.fingerprint(record.task)
    return held_out if is_trial else source


def _task_file(record: Record) -> Path:
    """Return the task file that the recorded command named for the task of ``record``."""
    named = [Path(name) for name in str(_argument(record, "--tasks") or "").split(",") if name.endswith(".toml")]
    for path in named:
        if path.is_file() and record.task in load_task_file(path).tasks:
            return path
    why = f"{' and '.join(map(str, named))}, which its command named, is not here" if named else "its record names none"
    raise UsageError(f"its task file is gone ({why}): give --task-file FILE.toml")


def _argument(record: Record, option: str) -> Path | None:
    """Return what the recorded command gave for ``option``, or None."""
    words = shlex.split(record.provenance.command)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == option and following:
            return Path(following)
        if word.startswith(f"{option}="):
            return Path(word.partition("=")[2])
    return None


def departures(cell: Cell, record: Record) -> Iterator[str]:
    """Yield why ``cell`` is not the very one that ``record`` is of; nothing where it is."""
    if cell.id == record.id:
        return
    known = False
    if (made_by := record.provenance.bench) and made_by != __version__:
        known = True
        yield f"it was made by version {made_by}, and this is {__version__}"
    if (was := record.spec.get("fingerprint")) and was != cell.fingerprint:
        known = True
        yield f"the rows of {record.task} are others than then (fingerprint {cell.fingerprint}, then {was})"
    if not known:
        yield (
            f"the code of {record.strategy}, a library or a model folder that it reads, or the texts that models are "
            f"made of have changed since"
        )
