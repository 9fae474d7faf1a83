from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from bench.data.mini import MiniSource
from bench.data.tasks import GLUE, Task
from bench.errors import BenchError, UsageError
from bench.experiment.grid import Cell, choose_tasks, make_grid
from bench.experiment.presets import load_settings
from bench.spec import StrategySpec


def cell(*overrides, preset="bert", strategy="none", task="rte", seed=0, source="folder", fingerprint="f" * 16):
    settings = load_settings(preset, overrides)
    return Cell(settings, GLUE[task], StrategySpec.parse(strategy), seed, source, fingerprint)


MATTERS = [
    "recipe.lr=1e-3",
    "recipe.epochs=9",
    "recipe.selection=best-dev",
    "recipe.weights=1,1,2",
    "recipe.precision=bf16",
    "data.max_length=64",
    "data.max_train=100",
    "teacher.model=other/teacher",
    "teacher.epochs=9",
    "teacher.finetuned=./mine",
    "student.model=other/student",
    "student.layers=2",
]
INDIFFERENT = ["recipe.device=cpu", "recipe.checkpoint_seconds=1", "teacher.force=true", "about=something else"]
GENERATOR = ["generator.tokens=5", "generator.model=other/generator", "generator.seed=3"]


@pytest.mark.parametrize("override", MATTERS)
def test_what_matters_changes_id_and_signature(override):
    assert cell(override).id != cell().id
    assert cell(override).signature != cell().signature


@pytest.mark.parametrize("override", INDIFFERENT)
def test_what_does_not_matter_changes_neither(override):
    assert cell(override).id == cell().id
    assert cell(override).signature == cell().signature


@pytest.mark.parametrize("override", GENERATOR)
def test_the_generator_matters_only_to_who_uses_it(override):
    assert cell(override).id == cell().id
    assert cell(override, strategy="mate-kd").id != cell(strategy="mate-kd").id
    # The generator is the strategy's own affair: rows with another one are still comparable.
    assert cell(override, strategy="mate-kd").signature == cell().signature
    # Unless the teacher is made of it.
    for made_of_it in (["teacher.model=generator"], ["student.model=generator"]):
        assert cell(override, *made_of_it).id != cell(*made_of_it).id
        assert cell(override, *made_of_it).signature != cell(*made_of_it).signature


@pytest.mark.parametrize("strategy", ["finetune", "none"])
def test_what_may_be_compared_stands_together_under_one_teacher(strategy):
    """The reference row too: a record of another signature would never stand beside the new baseline."""
    cells = [cell(f"teacher.model={teacher}", strategy=strategy) for teacher in ("x/y", "z/w")]
    assert len({cell.id for cell in cells}) == len({cell.signature for cell in cells}) == 2


def test_strategy_task_seed_and_content_matter():
    first = cell()
    others = [
        cell(strategy="finetune"),
        cell(strategy="mate-kd"),
        cell(strategy="mate-kd[rho=0.4]"),
        cell(task="mrpc"),
        cell(seed=1),
        cell(fingerprint="0" * 16),
    ]
    assert len({c.id for c in [first, *others]}) == 7
    assert all(len(c.id) == 8 for c in others)
    # Comparable are other strategies and seeds, not other data.
    assert [c.signature == first.signature for c in others] == [True, True, True, True, True, False]
    assert cell(strategy="mate-kd[rho=0.30]").id == cell(strategy="mate-kd").id


def test_a_cell_has_a_readable_folder_and_name(tmp_path):
    one = cell(strategy="mate-kd[tau=2]", seed=3)
    assert one.folder(tmp_path) == tmp_path / f"runs/bert/rte/mate-kd-tau=2.0/seed-3-{one.id}"
    assert str(one) == "rte · mate-kd[tau=2.0] · seed 3"


class Partial:
    """GLUE of which only some tasks are there."""

    name = "folder"
    tasks: Mapping[str, Task] = GLUE

    def __init__(self, *there):
        self.there = there

    def count(self, task):
        if task not in self.there:
            raise UsageError(f"no files for {task}")
        return {"train": 2, "dev": 2}

    def load(self, task):
        raise NotImplementedError

    def fingerprint(self, task):
        return f"{task:0>16}"


def names(wanted, source):
    chosen, notes = choose_tasks(wanted, source)
    return [task.name for task in chosen], notes


def test_all_and_globs_take_what_is_there_and_note_what_is_not():
    source = Partial("rte", "mrpc", "qqp", "qnli")
    chosen, notes = names(["all"], source)
    assert chosen == ["mrpc", "qqp", "qnli", "rte"]
    assert notes == [f"{name} is left out: no files for {name}" for name in ("cola", "sst2", "stsb", "mnli", "wnli")]
    assert names(["q*"], source) == (["qqp", "qnli"], [])
    assert names(["[rm]*", "rte"], source)[0] == ["mrpc", "rte"]
    assert names(["q?p"], source)[0] == ["qqp"]


def test_every_mini_task_is_there():
    source = MiniSource()
    assert names(["all"], source) == (list(source.tasks), [])


def test_a_task_that_is_named_must_be_there():
    with pytest.raises(BenchError, match="no files for cola"):
        choose_tasks(["cola"], Partial("rte"))
    with pytest.raises(UsageError, match=r"no task to run in folder: .*cola is left out: no files for cola"):
        choose_tasks(["c*"], Partial("rte"))


def test_ax_is_predicted_not_trained():
    assert "ax" not in names(["all"], Partial(*GLUE))[0]
    with pytest.raises(UsageError, match="AX has no training rows: run mnli, whose model predicts it"):
        choose_tasks(["ax"], Partial(*GLUE))


@pytest.mark.parametrize("name", ["rtee", "zz*"])
def test_an_unknown_task_or_a_glob_without_match_is_an_error(name):
    with pytest.raises(UsageError, match="unknown task|matches no task"):
        choose_tasks([name], Partial("rte"))


def test_a_grid_fills_seed_by_seed_task_by_task():
    settings = load_settings("bert")
    specs = [StrategySpec.parse(text) for text in ("none", "mate-kd")]
    cells = make_grid(settings, Partial("rte", "mrpc"), [GLUE["rte"], GLUE["mrpc"]], specs, [0, 2])
    assert [(c.seed, c.task.name, str(c.strategy)) for c in cells] == [
        (seed, task, strategy) for seed in (0, 2) for task in ("rte", "mrpc") for strategy in ("none", "mate-kd")
    ]
    assert {c.fingerprint for c in cells} == {f"{'rte':0>16}", f"{'mrpc':0>16}"}
    assert len({c.id for c in cells}) == 8
    assert dataclasses.replace(cells[0], seed=2).id == cells[4].id


def test_all_texts_at_hand_are_in_the_identity_of_what_is_made_of_them():
    settings, specs = load_settings("bert"), [StrategySpec.parse(text) for text in ("none", "mate-kd")]
    few, more = (make_grid(settings, Partial(*there), [GLUE["rte"]], specs, [0]) for there in (["rte"], ["rte", "qqp"]))
    assert few[0].id == more[0].id
    assert few[1].id != more[1].id
    assert few[1].signature == more[1].signature


def model_folder(folder, weights="1"):
    folder.mkdir(exist_ok=True)
    for name, text in {"config.json": "{}", "model.safetensors": weights, "tokenizer.json": "{}"}.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("setting", ["teacher.model", "teacher.finetuned", "student.model"])
def test_a_local_model_counts_by_its_content(tmp_path, setting):
    first, same = (model_folder(tmp_path / name) for name in ("one", "two"))
    before = cell(f"{setting}={first}")
    assert cell(f"{setting}={same}").id == before.id
    (same / "README.md").write_text("unrelated")
    assert cell(f"{setting}={same}").id == before.id
    model_folder(same, weights="2")
    assert cell(f"{setting}={same}").id != before.id
    assert cell(f"{setting}={same}").signature != before.signature


def test_the_teacher_of_each_task_counts_by_its_content(tmp_path):
    for task in ("rte", "mrpc"):
        model_folder(tmp_path / task)
    finetuned = f"teacher.finetuned={tmp_path}/{{task}}"
    before = [cell(finetuned, task=task).id for task in ("rte", "mrpc")]
    model_folder(tmp_path / "mrpc", weights="2")
    after = [cell(finetuned, task=task).id for task in ("rte", "mrpc")]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_a_folder_called_like_a_role_is_not_what_the_word_means(tmp_path, monkeypatch):
    before = cell("student.model=teacher").id
    monkeypatch.chdir(tmp_path)
    model_folder(tmp_path / "teacher")
    assert cell("student.model=teacher").id == before
