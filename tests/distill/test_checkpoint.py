from __future__ import annotations

import pytest
import torch

from bench.distill import checkpoint
from bench.files import whole_file, whole_folder


def test_a_folder_is_whole_or_absent(tmp_path):
    home = tmp_path / "a" / "b"
    with pytest.raises(RuntimeError, match="stop"), whole_folder(home) as part:
        (part / "one").write_text("1")
        raise RuntimeError("stop")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]
    with whole_folder(home) as part:
        (part / "one").write_text("1")
        assert not home.exists()
    assert (home / "one").read_text() == "1"
    with whole_folder(home) as part:
        (part / "two").write_text("2")
    assert [path.name for path in home.iterdir()] == ["two"]
    assert list(home.parent.iterdir()) == [home]


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="stop"), whole_file(path) as part:
        part.write_text("half")
        raise RuntimeError("stop")
    assert path.read_text() == "old"
    with whole_file(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_state_comes_back_and_an_absent_one_is_no_problem(tmp_path):
    path = tmp_path / "state.pt"
    assert checkpoint.load(path) == (None, None)
    checkpoint.save(path, {"a": torch.arange(3), "b": {"c": [1.5, None]}})
    state, problem = checkpoint.load(path)
    assert problem is None
    assert state["a"].tolist() == [0, 1, 2]
    assert state["b"] == {"c": [1.5, None]}
