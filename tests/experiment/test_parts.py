"""Assembling from a GLUE folder that holds only some tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import Notes

from bench.data.glue import FolderSource
from bench.data.sources import at_hand
from bench.experiment.parts import Parts
from bench.experiment.presets import load_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "index\tsentence1\tsentence2\tgold_label\n" + "".join(
        f"{i}\ta man walks {i}\ta man moves\t{label}\n"
        for i, label in enumerate(["entailment", "neutral", "contradiction"])
    )
    home = tmp_path / "glue" / "MNLI"
    home.mkdir(parents=True)
    for name in ("train", "dev_matched", "dev_mismatched"):
        (home / f"{name}.tsv").write_text(rows)
    return tmp_path / "glue"


def test_tasks_that_are_not_there_are_not_asked_for(folder: Path, tmp_path: Path) -> None:
    source = FolderSource(folder)
    assert at_hand(source, "mnli")
    assert not at_hand(source, "cola")
    parts = Parts(load_settings("mini"), source, tmp_path, Notes())
    assert len(parts.texts) == 3
    assert set(parts.data("mnli").splits) == {"train", "dev", "dev_mismatched"}


def test_the_diagnostic_set_is_predicted_where_it_is_there(folder: Path, tmp_path: Path) -> None:
    (folder / "AX").mkdir()
    (folder / "AX" / "test.tsv").write_text("index\tsentence1\tsentence2\n0\ta man walks\ta man moves\n")
    parts = Parts(load_settings("mini"), FolderSource(folder), tmp_path, Notes())
    assert [example.texts for example in parts.data("mnli").splits["ax"]] == [("a man walks", "a man moves")]
