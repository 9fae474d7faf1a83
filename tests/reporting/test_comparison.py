"""Comparisons of made-up records: gains, intervals, verdicts, and what is said where they cannot be had."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_records import leaderboard, run

from bench.errors import UsageError
from bench.reporting.comparison import compare
from bench.reporting.on_request import equivalence, shortlist

LABELS = np.array([0, 1] * 20)


def wrong(*rows):
    """Predictions with these rows wrong, for ``LABELS``."""
    answers = LABELS.copy()
    answers[list(rows)] ^= 1
    return answers


def records(strategy, task, *predictions, **changes):
    """One run per array of predictions, with seeds 0, 1, …; and the predictions as a frame."""
    runs, frames = [], []
    for seed, answers in enumerate(predictions):
        id = f"{task}-{strategy}-{seed}"
        runs.append(run(task, strategy, seed, float(np.mean(answers == LABELS)), id=id, **changes))
        rows = range(len(answers))
        frames.append(pd.DataFrame({"id": id, "split": "dev", "row": rows, "label": LABELS, "prediction": answers}))
    return runs, frames


def compared(*parts, baseline="none", drop=()):
    runs = [one for part in parts for one in part[0]]
    frames = [frame for part in parts for frame in part[1] if frame["id"].iloc[0] not in drop]
    return compare(leaderboard(runs, baseline), pd.concat(frames) if frames else None, baseline)


def by_strategy(comparison):
    return comparison.strategies.set_index("strategy")


def only(frame, strategy):
    (row,) = frame[frame["strategy"] == strategy].to_dict("records")
    return row


def test_one_task_three_seeds_cannot_tell():
    base = records("none", "rte", *[wrong(0, 1, 2, 3)] * 3)
    better = records("eda", "rte", wrong(0, 1), wrong(1, 2), wrong(3))
    (comparison,) = compared(base, better)
    row = by_strategy(comparison).loc["eda"]
    # 2, 2 and 3 rows of 40 more.
    assert row["gain"] == pytest.approx((2 + 2 + 3) / 3 / 40)
    assert (row["n_cells"], row["smallest_p"], row["p"]) == (3, 0.25, 0.25)
    assert row["verdict"] == "cannot tell with 3 seeds"
    assert np.isnan(row["detectable"])
    assert row["won"] == 1
    assert np.isnan(row["like_gain"])
    assert "gains and verdicts are of these tasks; fewer than three say nothing of others" in comparison.notes
    task = only(comparison.tasks, "eda")
    assert task["interval_covers"] == "rows and seeds"
    assert task["gain_low"] < task["difference"] < task["gain_high"]
    assert (row["gain_low"], row["gain_high"]) == pytest.approx((task["gain_low"], task["gain_high"]))
    assert by_strategy(comparison).loc["none", "verdict"] == "baseline"


def test_a_verdict_is_of_these_tasks_and_another_p_of_tasks_like_these():
    gone = {"rte": 0, "sst2": 0, "qnli": 16, "wnli": 30}  # so many errors fewer
    parts = [records("none", task, *(wrong(*range(30), seed + 30) for seed in range(5))) for task in gone]
    parts += [records("eda", task, *(wrong(*range(n, 30), 39 - seed) for seed in range(5))) for task, n in gone.items()]
    (comparison,) = compared(*parts)
    row = by_strategy(comparison).loc["eda"]
    assert row["gain"] == pytest.approx((0 + 0 + 16 + 30) / 4 / 40)
    assert row["verdict"] == "better"
    assert row["like_low"] < 0 < row["like_gain"]
    assert row["like_p_holm"] > 0.05
    assert "gains and verdicts are of these tasks; on tasks like these a gain other than 0 is shown of none" in (
        comparison.notes
    )


def test_four_tasks_of_three_seeds_can():
    tasks = ("rte", "sst2", "qnli", "wnli")
    parts = [records("none", task, wrong(0, 1, 2, 3, 4), wrong(0, 1, 2, 3, 5), wrong(0, 1, 2, 3, 6)) for task in tasks]
    parts += [records("eda", task, wrong(4), wrong(5), wrong(6)) for task in tasks]
    parts += [records("mlm", task, *[wrong(*range(8))] * 3) for task in tasks]
    (comparison,) = compared(*parts)
    rows = by_strategy(comparison)
    # All 12 gains are 4 rows of 40, so 2 of 2¹² flips are as far from 0. Every task's gain is -3 to 4 rows.
    assert rows.loc["eda", ["n_cells", "gain"]].tolist() == [12, pytest.approx(0.1)]
    assert rows.loc["eda", "p"] == rows.loc["eda", "smallest_p"] == 2**-11
    # Holm: the smaller of two counts twice, the larger not below that.
    first, second = sorted(rows[["p", "p_interval"]].max(axis=1).drop("none"))
    assert sorted(rows["p_holm"].drop("none")) == pytest.approx([2 * first, max(2 * first, second)])
    assert rows.loc["eda", "verdict"] == "better"
    assert rows.loc["mlm", "verdict"] == "worse"
    assert rows.loc["eda", "improvability"] == 0
    # 35 rows of 40 for the baseline, 39 for the best: 4 of its 5 errors could go.
    assert rows.loc["none", "improvability"] == pytest.approx(4 / 5)
    pair = comparison.pairwise.set_index(["strategy", "other"])
    assert pair.loc[("eda", "mlm"), "verdict"] == "better"
    assert pair.loc[("mlm", "eda"), "gain"] == -pair.loc[("eda", "mlm"), "gain"] == pytest.approx(-7 / 40)


def test_one_seed_leaves_out_seeds_and_says_so():
    (comparison,) = compared(records("none", "rte", wrong(0, 1)), records("eda", "rte", wrong(0)))
    task = only(comparison.tasks, "eda")
    assert task["interval_covers"] == "rows"
    assert task["verdict"] == "cannot tell with 1 seed"
    assert "one seed: the interval takes in dev rows and leaves out seeds: all rows" in comparison.notes


def test_students_that_answer_alike_differ_by_no_more_than_a_row():
    same = [wrong(0), wrong(1)]
    (comparison,) = compared(records("none", "rte", *same), records("eda", "rte", *same))
    task = only(comparison.tasks, "eda")
    assert task["difference"] == 0
    assert task["gain_se"] == 1 / 40
    assert task["gain_low"] < 0 < task["gain_high"]
    assert by_strategy(comparison).loc["eda", ["p", "won"]].tolist() == [1, 0.5]


def test_seeds_without_predictions_are_named_and_their_scores_still_count():
    base = records("none", "rte", wrong(0, 1), wrong(0, 2), wrong(0, 3))
    better = records("eda", "rte", wrong(0), wrong(0), wrong(0))
    (comparison,) = compared(base, better, drop=["rte-eda-2"])
    task = only(comparison.tasks, "eda")
    assert (task["difference"], task["interval_covers"]) == (pytest.approx(1 / 40), "rows and seeds")
    assert "rte: no predictions, left out of the intervals: eda (1)" in comparison.notes
    (comparison,) = compared(base, better, drop=["rte-eda-2", "rte-eda-1"])
    # All gains are one row of 40: without the rows' part there is nothing to make an interval of.
    assert only(comparison.tasks, "eda")["interval_covers"] == "nothing"


def test_predictions_that_do_not_belong_to_their_record_are_left_out():
    base, better = records("none", "rte", wrong(0, 1), wrong(0, 2)), records("eda", "rte", wrong(0), wrong(1))
    other_rows = better[1][0].assign(row=lambda frame: frame["row"] + 1)
    (comparison,) = compared(base, (better[0], [other_rows, better[1][1]]))
    assert any("predictions of other rows than the other runs'" in note for note in comparison.notes)
    hand_edited = better[1][0].assign(prediction=wrong(0, 1, 2, 3))
    (comparison,) = compared(base, (better[0], [hand_edited, better[1][1]]))
    assert (
        "rte: predictions that do not give the recorded score, left out of the intervals: eda (1)" in comparison.notes
    )


def test_no_seed_in_common():
    base, other = records("none", "rte", wrong(0)), records("eda", "rte", wrong(0), wrong(1))
    (comparison,) = compared(base, (other[0][1:], other[1][1:]))
    assert by_strategy(comparison).loc["eda", "verdict"] == "cannot tell with 0 seeds"
    assert np.isnan(by_strategy(comparison).loc["eda", "gain"])
    assert "no seed in common with none, no gain: eda (rte)" in comparison.notes


def test_a_baseline_that_is_not_there():
    (comparison,) = compared(records("eda", "rte", wrong(0)), records("mlm", "rte", wrong(1)))
    assert comparison.notes[0] == "no run of the baseline none: there are no gains; run it, or name another baseline"
    assert comparison.strategies["gain"].isna().all()
    assert len(comparison.pairwise) == 2


def test_fewer_tasks_than_the_baseline_keep_a_strategy_off_the_front():
    runs = [*records("none", "rte", wrong(0, 1))[0], *records("none", "sst2", wrong(0, 1))[0]]
    runs += [
        *records("eda", "rte", wrong())[0],
        *records("mlm", "rte", wrong(0))[0],
        *records("mlm", "sst2", wrong(0))[0],
    ]
    frame = leaderboard(runs)
    frame["passes_ratio"] = frame["strategy"].map({"none": 1.0, "eda": 2.0, "mlm": 3.0})
    # Records without predictions, so that gains have no interval; the front goes by the plain average then.
    (comparison,) = compare(frame)
    assert by_strategy(comparison)["on_front"].to_dict() == {"none": True, "eda": False, "mlm": True}


def test_the_signature_is_what_all_rows_share():
    (comparison,) = compared(records("none", "rte", wrong(0)), records("eda", "sst2", wrong(0)))
    assert comparison.signature["seeds"] == "0"
    assert comparison.signature["student updates"] == "100"
    assert comparison.signature["suite"] == "0.1.0"


def test_the_signature_tells_teacher_student_and_recipe_in_words_and_a_note_what_differs():
    teacher = {"model": "roberta-large", "epochs": 3.0, "batch_size": 32, "lr": 3e-05}
    recipe = {"method": "kd", "epochs": 1.0, "batch_tokens": 2000, "batch_size": 32, "lr": 0.002, "weights": [1, 1, 1]}
    spec = {"teacher": teacher, "student": {"model": "teacher", "layers": 3}, "recipe": recipe | {"temperature": 2.0}}
    scratch = {"model": "scratch", "shape": {"num_hidden_layers": 1, "hidden_size": 64}}
    own = {"dev": 0.751, "hash": "a" * 16}
    runs = [run("rte", name, spec=spec, teacher=own) for name in ("none", "eda")]
    other = spec | {"student": scratch}
    runs += [run("cola", name, spec=other, teacher=own | {"dev": 0.6}) for name in ("none", "eda")]
    found = compared((runs, []))[0]
    assert found.signature["teacher"] == "roberta-large, 3 epochs, batches of 32, learning rate 3e-05"
    assert found.signature["teacher's score"] == "cola 60.0, rte 75.1"
    assert found.signature["recipe"] == "kd, 1 epoch, batches of 2000 word pieces, learning rate 0.002, temperature 2"
    assert "student" not in found.signature
    assert (
        "not the same for all rows, student: bert from scratch (1 layer of 64) (cola); "
        "3 layers of the encoder that the teacher started from (rte)" in found.notes
    )


def test_other_commits_and_libraries_are_said():
    old = {"packages": {"torch": "2.1", "transformers": "4.57", "numpy": "2"}, "git_commit": "a" * 40}
    new = old | {"packages": {"torch": "2.9", "transformers": "4.57", "numpy": "3"}}
    dirty = old | {"git_commit": "b" * 40, "git_dirty": True}
    runs = [run(provenance=old), run(seed=1, provenance=dirty), run("rte", "eda", provenance=new)]
    (found,) = compared((runs, []))
    assert "not the same for all rows, commits: aaaaaaa (eda); aaaaaaa, bbbbbbb with changes (none)" in found.notes
    unlike = "torch 2.9, transformers 4.57 (eda); torch 2.1, transformers 4.57 (none)"
    assert f"not the same for all rows, libraries: {unlike}" in found.notes
    (found,) = compared(([run(provenance=old), run("rte", "eda", provenance=old)], []))
    assert found.signature["libraries"] == "torch 2.1, transformers 4.57"
    assert found.signature["commits"] == "aaaaaaa"
    # Made outside a checkout.
    assert "commits" not in compared(([run(), run("rte", "eda")], []))[0].signature


def test_no_record_but_a_failure():
    failure = {"preset": "mini", "task": "rte", "strategy": "eda", "seed": 0, "tuned": False, "status": "failed"}
    (comparison,) = compare(leaderboard([]), failures=[failure])
    assert comparison.strategies.empty
    assert comparison.failures == [failure]


def test_probabilities_and_ranks_on_request():
    tasks = ("rte", "sst2", "qnli")
    parts = [records("none", task, wrong(0, 1, 2), wrong(0, 1, 3)) for task in tasks]
    parts += [records("eda", task, wrong(0, 1), wrong(0, 2)) for task in tasks]
    parts += [records("mlm", task, wrong(0), wrong(1)) for task in tasks]
    (comparison,) = compared(*parts)
    told = equivalence(comparison, within=0.01).set_index(["strategy", "other"])
    assert told[["worse", "same", "better"]].sum(axis=1).tolist() == pytest.approx([1] * 6)
    assert told.loc[("mlm", "none"), "better"] == pytest.approx(told.loc[("none", "mlm"), "worse"])
    assert told.loc[("mlm", "none"), "better"] > 0.5
    assert shortlist(comparison, ["none", "eda", "mlm"]).ranks.to_dict() == {"mlm": 1, "eda": 2, "none": 3}
    with pytest.raises(UsageError, match="edda"):
        shortlist(comparison, ["none", "edda", "mlm"])
