from __future__ import annotations

import json
from math import sqrt

import pandas as pd
import pytest
from made_records import failures, leaderboard, run

from bench.reporting import export, wide_table
from bench.reporting import sheet as formats
from bench.reporting.averages import averages


def row(frame, **where):
    for key, value in where.items():
        frame = frame[frame[key] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def grid(records, baseline="none"):
    frame = leaderboard(records, baseline)
    (only,) = wide_table.grids(frame, averages(frame), failures(records))
    return only


def cells(grid, label):
    (found,) = [line for line in grid.rows if line.label == label]
    return dict(zip(grid.strategies, found.cells, strict=True))


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

    table = grid(records)
    (line,) = [line for line in table.rows if line.label.startswith("rte [2]")]
    assert "†" in line.label
    assert any(note.startswith("† rte [2], signature ") and "in no average" in note for note in table.notes)


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


def test_a_note_says_in_what_two_settings_differ():
    records = [run(), run(strategy="eda", signature="bench=0.2.0|data=rte", cost={"student_updates": 7})]
    (note,) = [note for note in grid(records).notes if note.startswith("†")]
    assert note.endswith("in no average; it has bench 0.2.0, not 0.1.0; student updates 7, not 100")


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
    assert "freelb: its options are not the same on every task" in grid(records).notes


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
    assert "skipped: mixkd on rte (seed 0): needs classes" in grid(records).notes


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


def test_an_average_over_other_tasks_is_marked_and_not_compared():
    records = [run(t, s) for t in ("rte", "cola", "sst2") for s in ("none", "eda", "freelb")]
    records = [r for r in records if (r["task"], r["strategy"]) != ("cola", "eda")]
    records.append(run("sst2", "freelb", seed=1, status="failed", reason="out of memory"))
    means = averages(leaderboard(records))
    for strategy, missing in (("eda", ("cola",)), ("freelb", ("sst2",))):
        odd = row(means, strategy=strategy)
        assert odd["missing"] == missing
        assert not odd["same_tasks"]
        assert pd.isna(odd["difference"])
        assert cells(grid(records), "avg, no WNLI")[strategy] == ("50.0‡", "", "")
    assert "‡ eda: 'avg, no WNLI' without cola: not comparable with the others" in grid(records).notes


def test_the_mark_survives_when_the_baseline_is_not_shown():
    records = [run(t) for t in ("rte", "cola")] + [run("rte", "eda")]
    frame = leaderboard(records)
    means = averages(frame)
    shown = wide_table.grids(frame[frame["strategy"] == "eda"], means[means["strategy"] == "eda"], [])
    assert "‡ eda: 'avg, no WNLI' without cola: not comparable with the others" in shown[0].notes


def test_a_strategy_shown_alone_keeps_its_notes_though_only_in_an_odd_setting():
    frame = leaderboard([run(), run(strategy="eda", signature="other")])
    (shown,) = wide_table.grids(frame[frame["strategy"] == "eda"], averages(frame).iloc[:0], [])
    assert [line.label for line in shown.rows] == ["rte [2]"]
    assert any("rte [2], signature" in note and "in no average; it has" in note for note in shown.notes)


def test_another_baseline():
    records = [run(value=0.5), run(strategy="finetune", value=0.4)]
    frame = leaderboard(records, "finetune")
    assert row(frame, strategy="none")["difference"] == pytest.approx(0.1)
    assert row(frame, strategy="finetune")["reference"]
    assert grid(records, "finetune").strategies == ["finetune", "none"]


def test_cells_read_as_points_with_sd_and_difference():
    records = [run(seed=s, value=v) for s, v in enumerate((0.5, 0.6))]
    records += [run(strategy="eda", seed=s, value=v, seconds=17) for s, v in enumerate((0.51, 0.58))]
    line = cells(grid(records), "rte")
    assert line == {"none": ("55.0", "± 7.1", ""), "eda": ("54.5", "± 4.9", "-0.5")}
    assert cells(grid(records), "cost")["eda"].mean == "1.70×"
    assert "seeds: 2" in grid(records).notes


def test_strategies_stand_in_the_order_of_their_averages_after_baseline_and_reference():
    records = [run(strategy=s, value=v) for s, v in (("a", 0.1), ("b", 0.9), ("finetune", 0.2), ("none", 0.3))]
    assert grid(records).strategies == ["none", "finetune", "b", "a"]


def test_what_a_reader_must_know_stands_below_the_table():
    records = [
        run("qqp", data={"rows": {"train": 363846, "dev": 7600}, "official": {"train": 363846, "dev": 40430}}),
        run(
            "sst2",
            data={"rows": {"train": 500, "dev": 9}, "official": {"train": 67349, "dev": 9}, "max_train": 500},
        ),
        run("rte", selection={"rule": "best-dev", "optimistic": True}, teacher={"dev": 0.5, "majority": 0.5}),
        run("cola", teacher=None, provenance={"hardware": "another machine"}),
    ]
    table = grid(records)
    assert [line.label for line in table.rows if not line.summary] == ["cola", "sst2§", "qqp§", "rte*"]
    text = "\n".join(table.notes)
    assert "§ qqp: dev 7600 of 40430 official rows; not comparable with published scores" in text
    assert "trained on a subset (max_train): sst2 (at most 500 rows)" in text
    assert "* selection best-dev: chosen on the very data reported, so optimistic" in text
    assert "# the teacher is not two standard errors better than the best constant answer on dev: rte (50.0" in text
    assert "unlike machines: another machine; cpu" in text
    assert "selection: last" in text


def test_splits_beside_dev_have_lines_of_their_own_outside_the_average():
    scores = {"dev": {"accuracy": 0.8}, "dev_mismatched": {"accuracy": 0.7}, "shifted": {"accuracy": 0.5}}
    records = [run("mnli", value=0.8, metrics=scores), run("rte", value=0.6)]
    assert cells(grid(records), "mnli-mm")["none"].mean == "70.0"
    assert cells(grid(records), "mnli-shifted")["none"].mean == "50.0"
    assert cells(grid(records), "avg, no WNLI")["none"].mean == "70.0"
    assert "mnli-mm: MNLI's mismatched dev set, in no average" in grid(records).notes
    assert (
        "mnli-shifted: dev rows with more of the words that are rare in training, in no average" in grid(records).notes
    )


def test_a_smoke_run_says_that_it_says_nothing():
    assert not any("smoke" in note for note in grid([run("rte")]).notes)
    (quick,) = {note for note in grid([run("rte") | {"preset": "quick"}]).notes if "smoke" in note}
    assert quick == "a smoke run: it shows that all works; its scores say nothing of strategies"


def test_text_is_plain_and_cuts_nothing_however_narrow():
    names = ["none", "nlpaug:keyboard[aug_char_p=0.1,other_option=2]", "best-of-k(eda)", "mate-kd", "freelb"]
    tasks = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
    records = [
        run(t, s, seed, 0.5 + n / 100 + seed / 1000 + i / 10_000)
        for i, t in enumerate(tasks)
        for n, s in enumerate(names)
        for seed in (0, 1)
    ]
    table = grid(records)
    for width in (30, 80, 120):
        text = formats.text([table.sheet()], width)
        assert "…" not in text
        assert "\x1b" not in text
        for line in table.rows:
            for cell in line.cells:
                assert all(piece in text for piece in cell)
        # Below some 50 columns the task and one strategy no longer fit beside each other.
        assert max(map(len, text.splitlines())) <= max(width, 50)


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


def test_nothing_at_all_is_still_a_table():
    records = [run(status="failed", reason="why", main=None)]
    frame = leaderboard(records)
    assert json.loads(export.json_text(frame)) == []
    assert "failed: none on rte (seed 0): why" in formats.text([grid(records).sheet()])


def test_a_difference_from_one_seed_is_marked_as_the_anecdote_it_is():
    records = [run(seed=s, value=0.5) for s in (0, 1)] + [run(strategy="eda", value=0.6)]
    assert cells(grid(records), "rte")["eda"].difference == "+10.0?"
    assert any(note.startswith("? a difference from one seed") for note in grid(records).notes)
    records.append(run(strategy="eda", seed=1, value=0.6))
    assert cells(grid(records), "rte")["eda"].difference == "+10.0"
    assert not any(note.startswith("?") for note in grid(records).notes)
    assert not any(note.startswith("?") for note in grid([run()]).notes)


def test_columns_stand_by_paired_gain_and_averages_over_other_seeds_are_marked():
    values = {"none": (0.6, 0.5, 0.5), "mate-kd": (0.61, 0.52, 0.52), "eda": (0.58,)}
    records = [
        run(task, strategy, seed, value)
        for task in ("rte", "cola")
        for strategy, scores in values.items()
        for seed, value in enumerate(scores)
    ]
    table = grid(records)
    # eda's mean of 58.0 is of the one seed on which the baseline has 60.0.
    assert table.strategies == ["none", "mate-kd", "eda"]
    average = cells(table, "avg, no WNLI")
    assert average["eda"] == ("58.0~", "", "-2.0?")
    assert average["mate-kd"][0] == "55.0"
    note = "~ eda: 'avg, no WNLI' over other seeds than 'none': not comparable with the others"
    assert note in table.notes


def test_cost_is_over_the_seeds_that_were_timed_for_both():
    records = [run(seed=0, seconds=10), run(seed=1, seconds=30), run(strategy="eda", seed=1, seconds=60)]
    assert row(leaderboard(records), strategy="eda")["cost_ratio"] == 2


def test_tasks_of_one_s_own_have_a_plain_average():
    records = [run(t, s) for t in ("anli", "scitail") for s in ("none", "eda")]
    assert cells(grid(records), "average").keys() == {"none", "eda"}
    assert "WNLI" not in formats.text([grid(records).sheet()])


def test_teachers_of_unlike_weights_under_one_signature_are_said():
    records = [run(teacher={"hash": "aaaa"}), run(strategy="eda", teacher={"hash": "bbbb"})]
    assert "teachers of one setting and unlike weights on rte: differences may be theirs" in grid(records).notes
    assert not any("unlike weights" in note for note in grid([records[0], run("cola", teacher=None)]).notes)


def test_what_a_preset_gave_to_a_strategy_stands_below_its_table():
    spec = {"strategies": {"mate-kd": {"student_steps": 20, "generator_lr": 0.01}, "cilda": {"rho": 0.2}}}
    records = [run(spec=spec), run(strategy="mate-kd", spec=spec), run(strategy="aeda+mate-kd", spec=spec)]
    frame = leaderboard(records)
    (table,) = wide_table.grids(frame, averages(frame), [])
    assert [note for note in table.notes if "this preset's setting" in note] == [
        "mate-kd: this preset's setting, generator_lr=0.01, student_steps=20; its record holds what took effect"
    ]


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
    shipped, tuned = wide_table.grids(frame, averages(frame), failures(runs))
    assert (shipped.preset, shipped.strategies) == ("mini, as shipped", ["none", "eda[alpha=0.3]", "eda"])
    assert (tuned.preset, tuned.strategies) == ("mini, tuned", ["none", "eda (tuned)"])
    (note,) = [note for note in tuned.notes if "the best of 8 trials" in note]
    assert (
        "the best of 8 trials on rows held out of train: rte eda[alpha=0.3] (70.0 there, as shipped 60.0; 100" in note
    )


def test_two_searches_of_one_strategy_are_two_rows():
    runs = [run(), tuned_run("eda[alpha=0.3]", value=0.6), tuned_run("eda[alpha=0.4]", trials=20, value=0.8)]
    assert set(leaderboard(runs)["strategy"]) == {"none", "eda[trials=8] (tuned)", "eda[trials=20] (tuned)"}


def test_where_nothing_can_be_tuned_a_run_stands_in_both_tables_unless_it_is_too_old_to_say():
    runs = [run(), run(strategy="finetune", searched=[]), run(strategy="old"), tuned_run("eda[alpha=0.3]")]
    frame = leaderboard(runs)
    _, tuned = wide_table.grids(frame, averages(frame), failures(runs))
    assert set(tuned.strategies) == {"none", "finetune", "eda (tuned)"}
