"""Plain distillation for as many passes, or as much time, as another strategy took."""

from __future__ import annotations

import dataclasses
import json

import pytest
from made_records import comparison, leaderboard, run
from tiny import CLASSES, make_models

from bench.data.tasks import GLUE
from bench.distill.loop import total_updates
from bench.errors import BenchError, UsageError
from bench.experiment.budget import budget_of
from bench.experiment.grid import Cell, make_grid
from bench.experiment.presets import load_settings, open_data
from bench.files import write_json
from bench.reporting.details import details
from bench.reporting.notes import belief
from bench.settings import Recipe
from bench.spec import StrategySpec, with_budgets


def cell(strategy, seed=0):
    return Cell(load_settings("bert"), GLUE["rte"], StrategySpec.parse(strategy), seed, "folder", "f" * 16)


class Models:
    """Parts whose models have a known size."""

    def __init__(self):
        made = make_models(task=CLASSES)
        self.models = {"student": made.student, "teacher": made.teacher, "generator": made.generator}
        self.generator = dataclasses.make_dataclass("Made", ["model"])(made.generator)

    def classifier(self, role, task, seed):
        return self.models[role]

    def teacher(self, task):
        return dataclasses.make_dataclass("Made", ["model"])(self.models["teacher"])


def finished(results, of, *, seconds=10.0, hardware="cpu", **cost):
    cost = {"student_updates": 100, "forwards": {"student": 800}, "backwards": {"student": 800}, **cost}
    record = run(strategy=str(of.strategy), seconds=seconds, cost=cost, provenance={"hardware": hardware})
    write_json(of.folder(results) / "record.json", record)


MATE_KD = {
    "forwards": {"student": 1700, "teacher": 900, "generator": 900},
    "backwards": {"student": 1600, "generator": 100},
}


def test_as_many_passes_is_every_model_s_by_its_size_and_backward_twice(tmp_path):
    wanted, parts = cell("none[forwards_of=mate-kd]"), Models()
    finished(tmp_path, cell("none"))
    finished(tmp_path, cell("mate-kd"), **MATE_KD)
    student, teacher, generator = (
        sum(
            parameter.numel()
            for name, parameter in parts.models[role].named_parameters()
            if "embeddings.weight" not in name
        )
        for role in ("student", "teacher", "generator")
    )
    ratio = ((1700 + 2 * 1600) * student + 900 * teacher + (900 + 2 * 100) * generator) / ((800 + 2 * 800) * student)
    assert ratio > 2
    found = budget_of(wanted, parts, tmp_path)
    assert found == {"kind": "forwards", "of": "mate-kd", "updates": round(100 * ratio), "recipe_updates": 100}


def test_as_much_time_is_training_time_and_the_horizon_stays_when_the_run_is_taken_up_again(tmp_path):
    wanted = cell("none[seconds_of=mate-kd]")
    finished(tmp_path, cell("none"), seconds=10.0)
    finished(tmp_path, cell("mate-kd"), seconds=31.4)
    assert budget_of(wanted, Models(), tmp_path)["updates"] == 314
    finished(tmp_path, cell("mate-kd"), seconds=50.0)
    assert budget_of(wanted, Models(), tmp_path)["updates"] == 314
    assert json.loads((wanted.folder(tmp_path) / "checkpoint" / "budget.json").read_text())["updates"] == 314


def test_the_seconds_of_a_busy_machine_are_those_that_the_run_had_a_processor_for(tmp_path):
    finished(tmp_path, cell("none"), seconds=10.0)
    finished(tmp_path, cell("mate-kd"), seconds=60.0, processor_share=0.5)
    assert budget_of(cell("none[seconds_of=mate-kd]"), Models(), tmp_path)["updates"] == 300


def test_a_budget_without_the_runs_it_is_worked_out_from_says_what_to_run(tmp_path):
    wanted = cell("none[seconds_of=mate-kd]", seed=3)
    finished(tmp_path, cell("mate-kd", seed=3))
    with pytest.raises(BenchError, match=r"finished run of rte · none · seed 3, which is not there: run --strategy"):
        budget_of(wanted, Models(), tmp_path)
    finished(tmp_path, cell("none", seed=3), hardware="another")
    with pytest.raises(BenchError, match="timed on unlike machines"):
        budget_of(wanted, Models(), tmp_path)


def test_the_updates_are_those_asked_for():
    for per_epoch in (11, 38, 94, 12271):
        for updates in (1, 13, 311, 99_999):
            assert total_updates(per_epoch, Recipe(epochs=updates / per_epoch)) == updates, (per_epoch, updates)


def test_a_run_of_another_budget_is_another_cell_of_the_same_table():
    plain, other = cell("none"), cell("none[forwards_of=mate-kd]")
    assert other.signature == plain.signature
    assert other.id != plain.id
    # What it is worked out from belongs to it.
    assert cell("none[forwards_of=mate-kd]").id == other.id
    assert cell("none[forwards_of=mate-kd[rho=0.4]]").id != other.id
    made = {"kind": "forwards", "of": "mate-kd", "updates": 290, "recipe_updates": 100}
    spec = {"recipe": {"method": "kd", "epochs": 8.0}}
    runs = [
        run(value=0.5, spec=spec),
        run(strategy="mate-kd", value=0.6, spec=spec),
        run(strategy="none[forwards_of=mate-kd]", value=0.7, cost={"student_updates": 290}, budget=made, spec=spec),
    ]
    frame = leaderboard(runs)
    rows = {row["strategy"]: row for row in frame.to_dict("records")}
    assert {row["setting"] for row in rows.values()} == {rows["none"]["setting"]}
    assert rows["none[forwards_of=mate-kd]"]["difference"] == pytest.approx(0.2)
    found = comparison(runs)
    told = "\n".join([*belief(found), *details(found)])
    assert "none[forwards_of=mate-kd] on rte (290 for 100, the passes of mate-kd)" in told
    but = "but none[forwards_of=mate-kd], of another budget (⇈)"
    assert f"student updates, the same for every strategy {but}: rte (100)" in told
    # The settings of its record hold the recipe's epochs, which it did not train for.
    but = "but none[forwards_of=mate-kd] for the updates of another budget (⇈)"
    assert (found.signature["recipe"], found.signature["student updates"]) == (f"kd, 8 epochs, {but}", f"100, {but}")
    # Without the section it would be a run of another setting.
    runs[2]["budget"] = None
    assert len({row["setting"] for row in leaderboard(runs).to_dict("records")}) == 2


def specs(*texts):
    return [StrategySpec.parse(text) for text in texts]


def test_a_budget_adds_a_row_for_each_control_and_each_other_strategy():
    def names(given, *budgets):
        return [str(spec) for spec in with_budgets(given, budgets)]

    assert names(specs("none", "mate-kd"), "forwards", "seconds") == [
        "none",
        "mate-kd",
        "none[forwards_of=mate-kd]",
        "none[seconds_of=mate-kd]",
    ]
    assert names(specs("none", "aeda", "mlm"), "forwards=mlm")[3:] == ["none[forwards_of=mlm]"]
    assert names(specs("none", "mate-kd")) == ["none", "mate-kd"]
    for given, budget in ((specs("none"), "forwards"), (specs("mate-kd"), "seconds")):
        with pytest.raises(UsageError, match="name both"):
            with_budgets(given, [budget])
    with pytest.raises(UsageError, match="--budget forwards=none changes nothing"):
        with_budgets(specs("none", "mate-kd"), ["forwards=none"])
    assert names(specs("none", "clean-twice"), "forwards=clean-twice")[2:] == ["none[forwards_of=clean-twice]"]
    with pytest.raises(UsageError, match="unknown budget 'second'; did you mean 'seconds'"):
        with_budgets(specs("none", "mate-kd"), ["second"])
    with pytest.raises(UsageError, match="unknown strategy 'mate'"):
        cell("none[forwards_of=mate]").compared()
    with pytest.raises(UsageError, match="one budget"):
        StrategySpec.parse("none[forwards_of=mlm,seconds_of=mlm]")


def test_what_gets_its_budget_from_a_run_comes_after_it():
    settings, source = open_data("mini", [], None)
    given = specs("none[seconds_of=mlm]", "none", "mlm")
    grid = make_grid(settings, source, [source.tasks["rte"]], given, [0])
    assert [str(one.strategy) for one in grid] == ["none", "mlm", "none[seconds_of=mlm]"]
