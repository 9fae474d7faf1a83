"""What a strategy needs on the machine besides code: how to see whether it is there, and how to get it.

Looking imports no heavy library, so that ``bench list strategies`` stays quick.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError


@dataclass(frozen=True)
class Resource:
    """One thing a strategy needs. ``ready()`` is quick; ``fetch`` is None where only a person can get it.

    ``command`` is what to type to get it.
    """

    name: str
    ready: Callable[[], bool]
    command: str
    fetch: Callable[[], None] | None = None


def nltk_data(place: str) -> Resource:
    """Return NLTK's data package at ``place`` ("corpora/wordnet", say)."""
    package = place.rpartition("/")[2]

    def ready() -> bool:
        return any((root / place).exists() or (root / f"{place}.zip").is_file() for root in _nltk_folders())

    def fetch() -> None:
        import nltk

        if not nltk.download(package):
            raise BenchError(f"NLTK could not download {package}; is there a network?")

    return Resource(f"NLTK {place}", ready, f"python -m nltk.downloader {package}", fetch)


def _nltk_folders() -> list[Path]:
    """Return where NLTK looks for data, without importing it."""
    named = [Path(part) for part in os.environ.get("NLTK_DATA", "").split(os.pathsep) if part]
    prefixes = [Path(sys.prefix) / part / "nltk_data" for part in ("", "share", "lib")]
    system = [Path(part) / "nltk_data" for part in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")]
    return [*named, Path.home() / "nltk_data", *prefixes, *system]


def python_package(module: str, requirement: str) -> Resource:
    """Return the importable ``module``, installed by ``pip install requirement``."""
    command = f"pip install {requirement!r}" if any(c in requirement for c in "[<>=") else f"pip install {requirement}"

    def ready() -> bool:
        return importlib.util.find_spec(module) is not None

    def fetch() -> None:
        done = subprocess.run([sys.executable, "-m", "pip", "install", requirement], check=False)
        if done.returncode != 0:
            raise BenchError(f"{command} failed with exit code {done.returncode}")

    return Resource(f"package {requirement}", ready, command, fetch)


def hub_model(name: str) -> Resource:
    """Return the model ``name`` of the hub, or a local folder of that path."""

    def ready() -> bool:
        from bench.models.hub import cached_model

        return Path(name).expanduser().is_dir() or cached_model(name) is not None

    def fetch() -> None:
        from huggingface_hub import snapshot_download

        from bench.models.hub import unreachable

        if (why := unreachable()) is not None:
            raise BenchError(f"cannot get the model {name} from the hub ({why})")
        snapshot_download(name)

    return Resource(f"model {name}", ready, f"hf download {name}", fetch)


def file(path: str, command: str, what: str) -> Resource:
    """Return a file or folder that a person has to provide; ``command`` says how."""
    return Resource(what, lambda: os.path.exists(os.path.expanduser(path)), command)
