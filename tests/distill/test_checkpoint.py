from __future__ import annotations

import collections
import random
import shutil

import pytest
import torch
from tiny import Notes

from bench.distill.checkpoint import Checkpoints

TIED = torch.arange(6.0).reshape(2, 3)
STATE = {
    "model": {
        "a": TIED,
        "b": TIED,
        "row": TIED[1],
        "none": torch.empty(0),
        "half": torch.ones(2, dtype=torch.bfloat16),
    },
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"betas": (0.9, 0.999), "fused": True}]},
    "best": (-float("inf"), 7, None),
    "texts": ["ü", "\ud800"],
    "cost": collections.Counter({"rows": 3}),
    "rng": torch.get_rng_state(),
}


def same(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return one == other


def saved(home):
    for number in range(4):
        Checkpoints(home, Notes()).save({**STATE, "number": number})
    return Checkpoints(home, Notes())


def test_a_state_comes_back_and_an_absent_one_is_no_problem(tmp_path):
    states = Checkpoints(tmp_path / "states", Notes())
    assert states.load() is None
    states.save(STATE)
    assert same(STATE, states.load())
    assert same(STATE, states.load(model=STATE["model"]))
    states.remove()
    assert states.load() is None
    assert states.observer.notes == []


def test_the_last_two_are_kept(tmp_path):
    states = saved(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4"]
    assert states.load()["number"] == 3
    (tmp_path / "4" / "tensors.safetensors").unlink()
    assert states.load()["number"] == 2
    assert "tensors.safetensors" in states.observer.notes[0]
    # Numbers go on after those that were set aside.
    states.save(STATE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4", "4.corrupt-1"]


@pytest.mark.parametrize(
    "weights", [{"a": TIED}, {**STATE["model"], "a": TIED.T}, {**STATE["model"], "more": TIED}], ids=str
)
def test_the_state_of_another_model_is_set_aside(tmp_path, weights):
    states = saved(tmp_path)
    assert states.load(model=weights) is None
    assert ["another model" in note for note in states.observer.notes] == [True, True]
    assert states.load(nothing={}) is None


def test_what_cannot_be_saved_is_said_once(tmp_path):
    states = Checkpoints(tmp_path / "states", Notes())
    for _ in range(2):
        states.save({"strategy": {"own": object()}})
    (note,) = states.observer.notes
    assert "a state may hold tensors, numbers, texts, lists, tuples and dicts, not object" in note
    assert list(tmp_path.iterdir()) == [] or list((tmp_path / "states").iterdir()) == []


def test_no_mutation_of_the_files_escapes_as_an_error_or_as_another_state(tmp_path):
    """Three hundred changes of bytes, lengths and files: each is set aside, and the state before it is loaded."""
    saved(tmp_path / "whole")
    rng = random.Random(0)
    for turn in range(300):
        home = tmp_path / "states"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", home)
        file = rng.choice(sorted((home / "4").iterdir()))
        content = bytearray(file.read_bytes())
        place = rng.randrange(len(content))
        kind = rng.choice(["flip", "cut", "insert", "swap", "zero"])
        if kind == "flip":
            content[place] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del content[place:]
        elif kind == "insert":
            content[place:place] = rng.randbytes(rng.randrange(1, 9))
        elif kind == "swap":
            content = bytearray(rng.choice(sorted((home / "4").iterdir())).read_bytes()[::-1])
        else:
            content[place:] = bytes(len(content) - place)
        changed = bytes(content) != file.read_bytes()
        file.write_bytes(content)
        states = Checkpoints(home, Notes())
        state = states.load(model=STATE["model"])
        assert same({**STATE, "number": 2 if changed else 3}, state), (turn, kind, file)
        assert len(states.observer.notes) == changed


@pytest.mark.parametrize("rest", ["[]", "5", "{}", '{"format": 1}', '{"format": 3, "state": {}}', "null", "[" * 9999])
def test_a_state_that_is_whole_but_none_of_ours_is_set_aside(tmp_path, rest):
    """As another version may have left it, with the right checksums."""
    from bench.files import whole_folder

    with whole_folder(tmp_path / "1") as part:
        (part / "rest.json").write_text(rest)
    states = Checkpoints(tmp_path, Notes())
    assert states.load(model=STATE["model"]) is None
    assert "unusable checkpoint set aside as" in states.observer.notes[0]
