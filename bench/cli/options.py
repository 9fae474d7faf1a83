"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

preset_option = click.option("--preset", default="mini", show_default=True, help="Preset name, or your own FILE.toml.")
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
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
    type=click.Path(path_type=Path, file_okay=False),
    default="results",
    show_default=True,
    help="Where runs and caches live.",
)
format_option = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
