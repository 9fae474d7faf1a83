"""Presets: named settings as TOML files in this package, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from bench.data.source import Source
from bench.data.sources import open_source
from bench.errors import UsageError, unknown
from bench.options import build, put
from bench.settings import Settings
from bench.spec import preset_options
from bench.toml import read_toml


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    folder = resources.files("bench.experiment") / "presets"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def load_settings(preset: str, overrides: Sequence[str] = ()) -> Settings:
    """Return ``preset`` (a name, or the user's own ``FILE.toml``) with ``section.key=value`` overrides."""
    if preset.endswith(".toml"):
        path = Path(preset)
        name = path.stem
    else:
        if preset not in preset_names():
            raise unknown("preset", preset, preset_names(), "(or give a file: --preset FILE.toml)")
        path = Path(str(resources.files("bench.experiment") / "presets" / f"{preset}.toml"))
        name = preset
    tree = read_toml(path)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise UsageError(f"--set takes section.key=value, not {override!r}")
        put(tree, key.strip(), value.strip())
    if "preset" in tree:
        raise UsageError(f"{path}: a preset is called by its file's name; remove the key 'preset'")
    return typed_settings({"preset": name, **tree})


def typed_settings(tree: Mapping[str, Any]) -> Settings:
    """Return the settings that ``tree`` holds, as TOML or JSON has them; UsageError for what is none."""
    settings = build(Settings, tree, "")
    given = {strategy: preset_options(strategy, options) for strategy, options in settings.strategies.items()}
    return replace(settings, strategies=given)


def open_data(preset: str, overrides: Sequence[str] = (), data_dir: Path | None = None) -> tuple[Settings, Source]:
    """Return the settings of ``preset`` and its data source; ``data_dir`` makes that source a folder."""
    if data_dir is not None:
        overrides = [*overrides, "data.source=folder"]
    settings = load_settings(preset, overrides)
    return settings, open_source(settings.data.source, data_dir)
