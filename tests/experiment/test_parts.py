"""Assembling from a GLUE folder that holds only some tasks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from families import build, tokenizer
from tiny import Notes

from bench.data.glue import FolderSource
from bench.data.sources import at_hand
from bench.errors import UsageError
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


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("student.layers=99", "student.layers=99, but the model has only 1 layers"),
        ("student.layers=0,5", "student.layers=(0, 5): the model's layers are numbered 0 to 0"),
        ("generator.layers=7", "generator.layers=7, but the model has only 2 layers"),
        ("student.shape.hidden_size=-5", "no student of this shape can read 64 word pieces"),
        ("student.shape.hidden_size=abc", "see student.shape"),
        ("student.shape.num_attention_heads=0", "ZeroDivisionError"),
        ("student.shape.num_hidden_layers=-1", "it has no layers"),
        ("student.shape.intermediate_size=0", "layers without weights"),
        ("generator.shape.hidden_act=gelo", "no generator of this shape"),
        ("data.max_length=100", "no student of this shape can read 100 word pieces (data.max_length)"),
        ("student.shape.hiden_size=4", "unknown shape key 'hiden_size'; did you mean 'hidden_size'?"),
        ("teacher.finetuned=./{x}", "no such model folder: ./{x}"),
        ("teacher.finetuned=./{", "no such model folder: ./{"),
        ("teacher.finetuned=./{0}/{task}", "no such model folder: ./{0}/mnli"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_any_work(folder, tmp_path, override, words):
    parts = Parts(load_settings("mini", [override]), FolderSource(folder), tmp_path, Notes())
    with pytest.raises(UsageError) as caught:
        parts.check({"teacher", "generator"}, ["mnli"])
    assert words in str(caught.value)


def test_layers_count_what_the_generator_kept(folder, tmp_path):
    shapes = [f"{role}.shape.num_hidden_layers=3" for role in ("student", "generator")]
    settings = ["student.model=generator", "student.layers=2", "generator.layers=2", *shapes]
    Parts(load_settings("mini", settings), FolderSource(folder), tmp_path, Notes()).check(["teacher"], ["mnli"])
    settings[1] = "student.layers=3"
    with pytest.raises(UsageError, match=r"student\.layers=3, but the model has only 2 layers"):
        Parts(load_settings("mini", settings), FolderSource(folder), tmp_path, Notes()).check(["teacher"], ["mnli"])


def test_a_generator_of_the_user_s_own_is_read_where_it_lies_and_left_alone(folder, tmp_path):
    own = tmp_path / "own"
    build("bert", "masked_lm", seed=3).save_pretrained(own)
    tokenizer().save_pretrained(own)
    before = {file.name: file.read_bytes() for file in own.iterdir()}
    settings = load_settings("mini", [f"generator.model={own}", "generator.layers=0"])
    parts = Parts(settings, FolderSource(folder), tmp_path / "results", Notes())
    assert parts.generator_folder() == own
    assert {file.name: file.read_bytes() for file in own.iterdir()} == before
    # One that is nowhere as a folder, as a model of the hub is not, gets one in the cache.
    parts.generator = dataclasses.replace(parts.generator, home=Path("some/model"))
    cached = parts.generator_folder()
    assert cached.is_relative_to(tmp_path / "results" / "cache" / "generators")
    config = (cached / "config.json").read_text()
    (cached / "config.json").write_text("")
    assert parts.generator_folder() == cached
    assert (cached / "config.json").read_text() == config
    assert [path.name for path in cached.parent.iterdir() if "corrupt" in path.name] == [f"{cached.name}.corrupt-1"]
