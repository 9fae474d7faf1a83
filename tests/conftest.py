"""What several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checkout import ROOT

# Tiny models are faster on one thread, many times so on a busy machine; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def glue_dir() -> Path:
    """The folder of the real GLUE files: BENCH_GLUE_DIR, or shared/data/glue beside the repository."""
    given = os.environ.get("BENCH_GLUE_DIR")
    folder = Path(given) if given else ROOT.parent / "shared" / "data" / "glue"
    if not folder.is_dir():
        pytest.skip(f"no GLUE files in {folder}; set BENCH_GLUE_DIR to a folder with CoLA/, SST-2/, ...")
    return folder
