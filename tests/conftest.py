"""What several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checkout import ROOT
from object_store import _server, object_store  # noqa: F401 - fixtures

# Tiny models are faster on one thread, many times so on a busy machine; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What is printed is as wide everywhere.
os.environ["COLUMNS"] = "100"

# Tests that need WordNet and the like take them from where NLTK looks, or from a folder beside the repository.
if (ROOT.parent / "nltk_data").is_dir():
    os.environ.setdefault("NLTK_DATA", str(ROOT.parent / "nltk_data"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "texts_alone: the release of transformers has no say in it (see tox.ini)")


@pytest.hookimpl(optionalhook=True)  # there may be no xdist
def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: many tests wait for processes of their own."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def glue_dir() -> Path:
    """The folder of the real GLUE files: BENCH_GLUE_DIR, or ``glue`` beside the repository."""
    folder = Path(os.environ.get("BENCH_GLUE_DIR") or ROOT.parent / "glue")
    if not folder.is_dir():
        pytest.skip(f"no GLUE files in {folder}; set BENCH_GLUE_DIR to a folder with CoLA/, SST-2/, ...")
    return folder


@pytest.fixture(scope="session")
def ood_dir() -> Path:
    """The folder of real evaluation sets: BENCH_OOD_DIR, or ``ood`` beside the repository."""
    folder = Path(os.environ.get("BENCH_OOD_DIR") or ROOT.parent / "ood")
    if not folder.is_dir():
        pytest.skip(f"no evaluation sets in {folder}; set BENCH_OOD_DIR to a folder with hans/, paws_qqp/, ...")
    return folder
