from __future__ import annotations

import torch

from bench.distill import checkpoint


def test_a_state_comes_back_and_an_absent_one_is_no_problem(tmp_path):
    path = tmp_path / "state.pt"
    assert checkpoint.load(path) == (None, None)
    checkpoint.save(path, {"a": torch.arange(3), "b": {"c": [1.5, None]}})
    state, problem = checkpoint.load(path)
    assert problem is None
    assert state["a"].tolist() == [0, 1, 2]
    assert state["b"] == {"c": [1.5, None]}
