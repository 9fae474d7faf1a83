from __future__ import annotations

import json
from math import sqrt

import pandas as pd
import pytest
from made_records import comparison, failures, leaderboard, run

from bench.reporting import export
from bench.reporting.averages import averages
from bench.reporting.comparison import compare
from bench.reporting.details import details
from bench.reporting.notes import belief


def row(frame, **where):
    for key, value in where.items():
        frame = frame[frame[key] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def test_mean_sd_difference_and_cost_are_exact():
    records = [run(seed=s, value=v, seconds=10) for s, v in enumerate((0.5, 0.6, 0.7))]
    records += [run(strategy="eda", seed=s, value=v, seconds=25) for s, v in enumerate((0.6, 0.8, 0.7))]
    eda = row(leaderboard(records), strategy="eda")
    assert eda["n_seeds"] == 3
    assert eda["mean"] == pytest.approx(0.7)
    assert eda["sd"] == pytest.approx(0.1)
    assert eda["baseline_mean"] == pytest.approx(0.6)
    assert eda["difference"] == pytest.approx(0.1)
    assert eda["cost_ratio"] == 2.5
    assert eda["train_seconds"] == 25
    assert eda["comparable"]
    assert row(leaderboard(records), strategy="none")["difference"] == 0


def test_sd_has_ddof_one_and_is_missing_for_one_seed():
    two = leaderboard([run(seed=0, value=0.4), run(seed=1, value=0.6)]).iloc[0]
    assert two["sd"] == pytest.approx(sqrt(0.02))
    assert pd.isna(leaderboard([run()]).iloc[0]["sd"])


def test_the_difference_is_over_shared_seeds_only():
    records = [run(seed=0, value=0.1), run(seed=1, value=0.5), run(seed=2, value=0.6)]
    records += [run(strategy="eda", seed=s, value=v) for s, v in ((1, 0.7), (2, 0.7), (3, 0.1))]
    eda = row(leaderboard(records), strategy="eda")
    assert eda["n_paired"] == 2
    assert eda["baseline_mean"] == pytest.approx(0.55)
    assert eda["difference"] == pytest.approx(0.15)

    apart = leaderboard([run(seed=0), run(strategy="eda", seed=1)])
    assert pd.isna(row(apart, strategy="eda")["difference"])


DIFFERENT = {
    "signature": {"signature": "bench=0.2.0|data=rte"},
    "budget": {"cost": {"student_updates": 200}},
    "selection rule": {"selection": {"rule": "best-dev", "optimistic": True}},
    "subset": {"data": {"max_train": 7}},
    "metric": {"main": {"metric": "f1"}},
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_runs_of_unlike_settings_are_neither_pooled_nor_compared(kind):
    records = [
        run(value=0.5),
        run(strategy="eda", seed=0, value=0.6),
        run(strategy="eda", seed=1, value=0.9, **DIFFERENT[kind]),
    ]
    frame = leaderboard(records)
    assert sorted(frame[frame["strategy"] == "eda"]["mean"]) == [0.6, 0.9]
    odd = row(frame, strategy="eda", mean=0.9)
    assert not odd["comparable"]
    assert not odd["main"]
    assert pd.isna(odd["difference"])
    assert pd.isna(odd["cost_ratio"])
    assert any(note.startswith("apart, in no average: rte [2] with ") for note in belief(comparison(records)))


def test_texts_rewritten_under_another_seed_are_another_row():
    def eda(rewrite_seed, value):
        cost, data = {"rewritten": {"rows": 10}}, {"data": {"rewrite_seed": rewrite_seed}}
        return run(strategy="eda", value=value, cost=cost, spec=data)

    plain = [run(seed=seed, spec={"data": {"rewrite_seed": seed}}) for seed in (0, 1)]
    frame = leaderboard([*plain, eda(0, 0.6), eda(1, 0.9)])
    assert dict(zip(frame["strategy"], frame["mean"], strict=True)) == {
        "none": 0.5,
        "eda[data.rewrite_seed=0]": 0.6,
        "eda[data.rewrite_seed=1]": 0.9,
    }
    assert list(leaderboard([*plain, eda(1, 0.9)])["strategy"]) == ["eda", "none"]


def spec(teacher, **more):
    return {"teacher": {"epochs": 3, "force": False} | teacher, "recipe": {"epochs": 2, "device": "auto"}} | more


def test_settings_are_told_apart_by_name_and_not_by_hash():
    one = run(signature="bench=1|teacher=aaaa|student=bbbb|recipe=cccc", spec=spec({"shape": {"hidden_size": 64}}))
    changed = spec({"epochs": 1.0, "force": True, "shape": {"hidden_size": 16, "layers": 2}})
    changed["recipe"] = {"epochs": 1, "device": "cpu", "newer": 5}
    other = run(strategy="eda", signature="bench=1|teacher=dddd|student=eeee|recipe=ffff", spec=changed)
    frame = leaderboard([one, other, run(strategy="aeda", **{key: one[key] for key in ("signature", "spec")})])
    assert row(frame, strategy="eda")["differs"] == (
        "student eeee, not bbbb",  # a record that does not say in what
        "teacher.epochs 1, not 3",
        "teacher.shape.hidden_size 16, not 64",
        "recipe.epochs 1, not 2",
        "teacher.shape.layers 2, not absent",
    )
    assert row(frame, strategy="none")["differs"] == ()


def test_each_setting_is_held_against_its_own_baseline():
    records = []
    for updates, base, own in ((100, 0.5, 0.6), (200, 0.7, 0.9)):
        records.append(run(value=base, cost={"student_updates": updates}))
        records.append(run(strategy="eda", value=own, cost={"student_updates": updates}))
    frame = leaderboard(records)
    assert row(frame, strategy="eda", student_updates=100)["difference"] == pytest.approx(0.1)
    assert row(frame, strategy="eda", student_updates=200)["difference"] == pytest.approx(0.2)
    assert frame["comparable"].all()


def test_averages_are_made_of_the_setting_that_has_the_baseline():
    records = [run(value=0.5), run(strategy="eda", value=0.6)]
    records += [run(strategy=s, value=0.9, signature="other") for s in ("eda", "freelb", "mixkd")]
    frame = leaderboard(records)
    assert set(frame[frame["main"]]["strategy"]) == {"none", "eda"}
    means = averages(frame)
    assert set(means["strategy"]) == {"none", "eda"}
    assert row(means, strategy="eda")["mean"] == 0.6


def test_option_sets_are_rows_of_their_own_named_by_what_varies():
    records = [run()]
    for rho in (0.3, 0.4):
        records.append(run(strategy="mate-kd", value=rho, strategy_options={"rho": rho, "steps": 10}))
    frame = leaderboard(records)
    assert set(frame["strategy"]) == {"none", "mate-kd[rho=0.3]", "mate-kd[rho=0.4]"}
    assert row(frame, strategy="mate-kd[rho=0.4]")["mean"] == 0.4


def test_options_that_follow_the_task_do_not_split_a_strategy():
    records = [run(t, "freelb", strategy_options={"lr": lr}) for t, lr in (("rte", 0.03), ("mnli", 0.1))]
    assert set(leaderboard(records)["strategy"]) == {"freelb"}
    assert "freelb: its options are not the same on every task" in details(comparison(records))


def test_a_name_that_carries_its_options_keeps_them_and_gains_what_else_varies():
    records = [run(strategy="a[x=1]", strategy_options={"x": 1, "y": y}) for y in (1, 2)]
    assert set(leaderboard(records)["strategy"]) == {"a[x=1,y=1]", "a[x=1,y=2]"}


def test_an_option_that_older_records_do_not_have_tells_no_rows_apart():
    old = run(strategy="mate-kd", strategy_options={"rho": 0.3})
    new = run(strategy="mate-kd", seed=1, strategy_options={"rho": 0.3, "reuse": 4})
    other = run(strategy="mate-kd", seed=1, strategy_options={"rho": 0.3, "reuse": 1})
    assert set(leaderboard([old, new])["strategy"]) == {"mate-kd"}
    assert set(leaderboard([old, new, other])["strategy"]) == {"mate-kd", "mate-kd[reuse=4]", "mate-kd[reuse=1]"}


def test_a_smaller_generator_makes_a_row_of_its_own_where_one_was_trained():
    specs = [{"generator": {"layers": layers}} for layers in (0, 2)]
    records = [run(strategy="mate-kd", spec=spec, generator={"hash": "0"}) for spec in specs]
    records += [run(strategy="eda", spec=spec, seed=seed) for seed, spec in enumerate(specs)]
    names = {"eda", "mate-kd[generator.layers=0]", "mate-kd[generator.layers=2]"}
    assert set(leaderboard(records)["strategy"]) == names


def test_of_a_seed_run_twice_the_later_run_counts():
    late = run(value=0.9, provenance={"finished": "2025-02-01"})
    for records in ([run(value=0.1), late], [late, run(value=0.1)]):
        assert leaderboard(records).iloc[0]["mean"] == 0.9


def test_failed_skipped_and_not_finite_runs_give_no_row_but_a_reason():
    records = [
        run(),
        run(strategy="eda", value=None),
        run(strategy="freelb", status="failed", reason="loss is nan", main=None, cost={}),
        run(strategy="mixkd", status="skipped", reason="needs classes", main=None, cost={}),
    ]
    assert list(leaderboard(records)["strategy"]) == ["none"]
    assert [(f["strategy"], f["status"], f["reason"]) for f in failures(records)] == [
        ("eda", "failed", "the score is not a finite number"),
        ("freelb", "failed", "loss is nan"),
        ("mixkd", "skipped", "needs classes"),
    ]
    assert "skipped: mixkd on rte (seed 0): needs classes" in belief(comparison(records))


def test_averages_with_and_without_wnli():
    values = {"rte": (0.5, 0.6), "cola": (0.3, 0.5), "wnli": (0.4, 0.1)}
    records = [run(t, s, value=v[i]) for t, v in values.items() for i, s in enumerate(("none", "eda"))]
    means = averages(leaderboard(records))
    whole, less = (row(means, strategy="eda", average=kind) for kind in ("average", "average without WNLI"))
    assert (whole["n_tasks"], less["n_tasks"]) == (3, 2)
    assert whole["mean"] == pytest.approx(0.4)
    assert whole["difference"] == pytest.approx(0.0)
    assert less["mean"] == pytest.approx(0.55)
    assert less["difference"] == pytest.approx(0.15)


def test_sd_of_an_average_is_over_the_seeds_own_averages():
    records = [run("rte", seed=s, value=v) for s, v in enumerate((0.2, 0.4))]
    records += [run("cola", seed=s, value=v) for s, v in enumerate((0.4, 0.2))]
    assert row(averages(leaderboard(records)), strategy="none")["sd"] == pytest.approx(0)
    records.append(run("cola", seed=2, value=0.3))
    assert pd.isna(row(averages(leaderboard(records)), strategy="none")["sd"])


def test_another_baseline():
    records = [run(value=0.5), run(strategy="finetune", value=0.4)]
    frame = leaderboard(records, "finetune")
    assert row(frame, strategy="none")["difference"] == pytest.approx(0.1)
    assert row(frame, strategy="finetune")["reference"]


def test_json_and_csv_hold_every_row_with_null_for_what_is_missing():
    records = [run(), run(strategy="eda", signature="other")]
    frame = leaderboard(records)
    rows = json.loads(export.json_text(frame))
    assert [r["strategy"] for r in rows] == list(frame["strategy"])
    eda = next(r for r in rows if r["strategy"] == "eda")
    assert eda["difference"] is None
    assert eda["sd"] is None
    assert eda["scores"] == [0.5]
    assert export.csv_text(frame).count("\n") == 3


def test_cost_is_over_the_seeds_that_were_timed_for_both():
    records = [run(seed=0, seconds=10), run(seed=1, seconds=30), run(strategy="eda", seed=1, seconds=60)]
    assert row(leaderboard(records), strategy="eda")["cost_ratio"] == 2


def tuned_run(chosen, strategy="eda", trials=8, **changes):
    search = {"strategy": strategy, "trials": trials, "seed": 0, "training_seeds": [0], "metric": "accuracy"}
    search |= {"held_out": 100, "score": 0.7, "as_shipped": 0.6}
    return run(strategy=chosen, tuned=search, searched=["strength"], **changes)


def test_tuned_runs_stand_under_the_strategy_s_own_name_and_are_pooled_with_no_others():
    runs = [
        *(run(task=task, value=0.5, searched=[]) for task in ("rte", "wnli")),
        run(strategy="eda", value=0.55, searched=["strength"]),
        run(strategy="eda[alpha=0.3]", value=0.9, searched=["strength"]),
        # What the search chose happens to be what somebody ran, and on the other task what is shipped.
        tuned_run("eda[alpha=0.3]", value=0.6, strategy_options={"alpha": 0.3}),
        tuned_run("eda", task="wnli", value=0.65, strategy_options={"alpha": 0.1}),
    ]
    frame = leaderboard(runs)
    scores = {(row.task, row.strategy): row["mean"] for _, row in frame.iterrows()}
    assert scores == {
        ("rte", "none"): 0.5,
        ("rte", "eda"): 0.55,
        ("rte", "eda[alpha=0.3]"): 0.9,
        ("rte", "eda (tuned)"): 0.6,
        ("wnli", "none"): 0.5,
        ("wnli", "eda (tuned)"): 0.65,
    }
    shipped, tuned = compare(frame)
    assert (shipped.preset, set(shipped.tasks["strategy"])) == ("mini, as shipped", {"none", "eda[alpha=0.3]", "eda"})
    assert (tuned.preset, set(tuned.tasks["strategy"])) == ("mini, tuned", {"none", "eda (tuned)"})
    (note,) = [note for note in details(tuned) if "the best of 8 trials" in note]
    assert (
        "the best of 8 trials on rows held out of train: rte eda[alpha=0.3] (70.0 there, as shipped 60.0; 100" in note
    )


def test_two_searches_of_one_strategy_are_two_rows():
    runs = [run(), tuned_run("eda[alpha=0.3]", value=0.6), tuned_run("eda[alpha=0.4]", trials=20, value=0.8)]
    assert set(leaderboard(runs)["strategy"]) == {"none", "eda[trials=8] (tuned)", "eda[trials=20] (tuned)"}


def test_where_nothing_can_be_tuned_a_run_stands_in_both_tables_unless_it_is_too_old_to_say():
    runs = [run(), run(strategy="finetune", searched=[]), run(strategy="old"), tuned_run("eda[alpha=0.3]")]
    _, tuned = compare(leaderboard(runs))
    assert set(tuned.tasks["strategy"]) == {"none", "finetune", "eda (tuned)"}
