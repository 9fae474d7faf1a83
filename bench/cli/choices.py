"""Options that several verbs share, and what they choose."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bench.experiment.launchers import Launching
from bench.remote.mirror import folder_of, shown

if TYPE_CHECKING:
    from bench.data.source import Source
    from bench.settings import Settings

T = TypeVar("T")


class _Folder(click.Path):
    """A folder, there or not; an empty name is not taken for the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` as a Path."""
        if value == "":
            self.fail("the name of a folder is empty", param, ctx)
        return super().convert(value, param, ctx)


class _Results(_Folder):
    """Where results are: a folder, or an object store by its URL, of which it is the mirror."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` as a Path; of a URL that of its mirror."""
        folder = folder_of(value)
        # Of a URL the mirror is there by now.
        return folder if isinstance(value, str) and "://" in value else super().convert(value, param, ctx)


RESULTS = _Results(path_type=Path, file_okay=False)
preset_option = click.option("--preset", default="mini", show_default=True, help="Preset name, or your own FILE.toml.")
data_dir_option = click.option(
    "--data-dir",
    type=_Folder(path_type=Path),
    help="Local GLUE folder (official .tsv or .tsv.gz files, or saved by datasets.save_to_disk).",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override a field of the preset, e.g. student.layers=3. Repeatable.",
)
results_option = click.option(
    "--results",
    type=RESULTS,
    default="results",
    show_default=True,
    metavar="DIRECTORY|URL",
    help="Where runs and caches live: a folder, or an object store, s3://BUCKET/FOLDER (bench docs machines).",
)
format_option = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)


@dataclass(frozen=True)
class Choices:
    """What --preset, --data-dir, --set and --results say."""

    preset: str
    data_dir: Path | None
    overrides: tuple[str, ...]
    results: Path

    def open(self) -> tuple[Settings, Source]:
        """Return the settings and the data source."""
        from bench.experiment.presets import open_data

        return open_data(self.preset, self.overrides, self.data_dir)

    def spelled(self) -> str:
        """Return these choices as one types them behind a command, each with a space before it."""
        given = [("--preset", self.preset)] + [("--set", override) for override in self.overrides]
        given += [("--data-dir", str(self.data_dir))] if self.data_dir is not None else []
        given += [("--results", shown(self.results))] if str(self.results) != "results" else []
        return "".join(f" {option} {shlex.quote(value)}" for option, value in given)


def choices_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give ``command`` the options --preset, --data-dir, --set and --results, as one parameter ``choices``."""

    @preset_option
    @data_dir_option
    @set_option
    @results_option
    @functools.wraps(command)
    def with_choices(preset: str, data_dir: Path | None, overrides: tuple[str, ...], results: Path, **others: Any) -> T:
        return command(choices=Choices(preset, data_dir, overrides, results), **others)

    return with_choices


def training_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give ``command`` the options of what trains a grid.

    They come as ``workers``, ``dry_run``, ``launching`` (where cells run), and ``choices`` with all others.
    """

    @click.option("--max-train", type=click.IntRange(1), help="Train on a fixed sample of this many rows (recorded).")
    @click.option("--recipe", help="kd (default), annealing or continuation: what every update minimises.")
    @click.option("--workers", type=click.IntRange(1), help="Processes that rewrite texts.  [default: one per core]")
    @click.option(
        "--jobs",
        type=click.IntRange(1, 1024),
        help="Cells that run at a time, each in a process of its own with its share of the cores.  [default: 1; "
        "elsewhere all that there is room for]",
    )
    @click.option(
        "--launcher",
        default="processes",
        show_default=True,
        help="Where cells run: processes of this machine; ray, a Ray cluster; slurm, an array of jobs. Options in "
        "brackets: 'ray[address=HOST:6379,cpus=2]' (bench docs machines).",
    )
    @click.option(
        "--timeout",
        type=click.FloatRange(60, 1e6),
        help="End a cell from whose process nothing was heard for so many seconds; it has failed.",
    )
    @click.option("--weak-teacher", is_flag=True, help="Distil even from a teacher that learned nothing.")
    @click.option(
        "--dry-run", is_flag=True, help="Only say what would run, what is cached, and how long it would take."
    )
    @choices_options
    @functools.wraps(command)
    def with_training(
        choices: Choices,
        max_train: int | None,
        recipe: str | None,
        weak_teacher: bool,
        launcher: str,
        jobs: int | None,
        timeout: float | None,
        **others: Any,
    ) -> T:
        launching = Launching(launcher, jobs, timeout)
        asked = {"data.max_train": max_train, "recipe.method": recipe, "teacher.force": weak_teacher or None}
        given = (f"{key}={value}" for key, value in asked.items() if value is not None)
        choices = dataclasses.replace(choices, overrides=(*choices.overrides, *given))
        return command(choices=choices, launching=launching, **others)

    return with_training
