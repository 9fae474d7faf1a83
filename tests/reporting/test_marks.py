from __future__ import annotations

from made_records import comparison, leaderboard, run

from bench.reporting.details import details
from bench.reporting.notes import belief
from bench.reporting.sheet import Cell
from bench.reporting.summary import summary
from bench.reporting.task_table import task_table


def names(records):
    """The strategies of the first table, with the marks beside them."""
    return {cell.text for cell in summary(comparison(records)).columns[0][1]}


def cells(records, task):
    """What stands in the column of a task, whose head may have marks."""
    columns = dict(task_table(comparison(records), 300)[0].columns)
    shown = (cell.text if isinstance(cell, Cell) else cell for cell in columns[task])
    return dict(zip(columns["strategy"], shown, strict=True))


def notes(records, sign):
    return [note for note in belief(comparison(records)) if note.startswith(f"{sign} ")]


def test_a_student_with_one_answer_or_no_better_than_a_constant_one_is_marked():
    records = [
        run(seed=0, value=0.6, checks={"constant": 0.5, "most_predicted": 0.7}),
        run(strategy="one class", value=0.6, checks={"constant": 0.7, "most_predicted": 1.0}),
        run(strategy="as good", value=0.5, checks={"constant": 0.5, "most_predicted": 0.9}),
        run(strategy="some seeds", value=0.6, checks={"constant": 0.5, "most_predicted": 0.9}),
        run(strategy="some seeds", seed=1, value=0.4, checks={"constant": 0.5, "most_predicted": 0.9}),
        run(strategy="older", value=0.2),
    ]
    assert names(records) == {"none", "older", "one class =", "as good =", "some seeds ="}
    assert notes(records, "=") == [
        "= one answer for every dev row, or no better than the best constant answer: as good on rte (1 of 1 seeds), "
        "one class on rte (1 of 1 seeds), some seeds on rte (1 of 2 seeds)"
    ]


def test_a_strategy_that_changes_nothing_is_marked():
    records = [run(), run(strategy="eda", text_quality={"changed": 0.9})]
    assert notes(records, "∅") == []
    records.append(run(strategy="shuffle", text_quality={"changed": 0.0}))
    assert "shuffle ∅" in names(records)
    assert notes(records, "∅") == ["∅ changed none of the texts, or next to none: shuffle on rte (0.0%)"]


def test_a_strategy_that_shows_mostly_clean_text_is_marked_and_an_attack_says_its_shares():
    attack = {"rows": 1000, "success": 180, "failure": 50, "skipped": 20, "left out": 750}
    records = [
        run(),
        run(strategy="eda", text_quality={"changed": 0.9}),
        run(strategy="antonym", text_quality={"changed": 0.4}),
        run(strategy="pwws", text_quality={"changed": 0.16, "rewriting": attack}),
    ]
    assert "pwws ○" in names(records)
    assert notes(records, "○") == [
        "○ most of the texts that the strategy showed were the originals: antonym on rte (60%), "
        "pwws on rte (84%, 25% of the rows attacked and 18% changed)"
    ]


def test_an_adversary_without_a_lead_is_marked_with_its_figures():
    learned = {"rows": 100, "divergence": 0.53, "divergence_at_start": 0.5, "standard_error": 0.01}
    records = [run(), run(strategy="mate-kd", adversary=learned | {"words": 900, "kl_from_start": 0.4})]
    assert notes(records, "≈") == []
    still = learned | {"divergence": 0.521}
    records += [
        run(strategy="still", adversary=still | {"words": 900, "kl_from_start": 3e-5}),
        run(strategy="still", seed=1, adversary=still | {"words": 900, "kl_from_start": 1e-5}),
        run(strategy="shift", adversary=still),
    ]
    meaning = "≈ the adversary has no lead over its untrained self"
    assert notes(records, "≈") == [f"{meaning}: shift, still on rte"]
    told = [note for note in details(comparison(records)) if note.startswith("≈")]
    assert [(note.split(":")[0], note.rpartition(": ")[2]) for note in told] == [
        ("≈ shift", "rte (0.521 against 0.5, the difference ± 0.01)"),
        ("≈ still", "rte (0.521 against 0.5, the difference ± 0.007, KL to its start 2e-05)"),
    ]
    # A lead within two standard errors is none.
    unsure = run(strategy="unsure", adversary=learned | {"divergence": 0.6, "standard_error": 0.06})
    assert "unsure ≈" in names([run(), unsure])
    assert "still ≈" in names(records)


def test_rows_that_failed_to_be_rewritten_are_said_where_they_are_many():
    few = {"rows": 1000, "failed": 9}
    many = {"rows": 1000, "failed": 980}
    records = [
        run(),
        run(strategy="eda", text_quality={"changed": 0.5, "rewriting": few}),
        run(strategy="bae", text_quality={"changed": 0.5, "rewriting": many}),
        run(strategy="bae", seed=1, cost={"failures": {"ran out of 60 s of CPU time": 900, "OSError": 50, "hung": 1}}),
        run(strategy="bae", seed=2, cost={"failures": {"OSError": 20}}),
        run(strategy="aeda", cost={"rewritten": many}),  # a record without its text quality
    ]
    (note,) = notes(records, "!")
    assert note.endswith(
        ": aeda on rte (98.0% of the rows), bae on rte "
        "(98.0% of the rows, ran out of 60 s of CPU time: 900, OSError: 70)"
    )
    assert "bae !" in names(records)
    records.append(run("cola", "eda", text_quality={"changed": 0.5, "rewriting": {"rows": 1000, "failed": 10}}))
    (note,) = notes(records, "!")
    assert "eda on cola (1.0% of the rows)" in note


def test_a_writer_that_repeats_itself_is_marked():
    records = [run(), run(strategy="eda", text_quality={"changed": 0.9, "duplicates": 0.49})]
    assert notes(records, "≡") == []
    records.append(run(strategy="file:made.tsv", text_quality={"changed": 1.0, "duplicates": 0.5}))
    (note,) = notes(records, "≡")
    assert note.endswith("what wrote them repeats itself: file:made.tsv on rte (50%)")


def test_a_dev_set_that_is_the_training_set_is_marked():
    records = [run("rte", data={"rows": {"dev": 800}}, checks={"dev_in_train": 8}), run("cola")]
    assert notes(records, "¶") == []
    records[0]["checks"]["dev_in_train"] = 9
    assert set(cells(records, "rte¶")) == {"teacher", "none"}
    assert notes(records, "¶") == ["¶ dev rows that are training rows as well: rte (9 of 800 rows)"]


def test_a_teacher_no_better_than_a_constant_answer_is_marked():
    teacher = {"dev": 0.56, "constant": 0.5, "standard_error": 0.025}
    assert notes([run(teacher=teacher)], "#") == []
    weak = run(teacher=teacher | {"standard_error": 0.035})
    (note,) = notes([weak], "#")
    assert note.endswith("rte (56.0 against 50.0)")
    assert cells([weak, run("cola")], "rte")["teacher"] == "56.0#"
    assert cells([weak, run("cola")], "cola")["teacher"] == "75.0"
    # Records from before the best constant answer was recorded: train's most frequent class.
    assert notes([run(teacher={"dev": 0.5, "majority": 0.5})], "#")


def test_warnings_are_in_the_long_form_as_well():
    frame = leaderboard([run(checks={"most_predicted": 1.0})])
    assert frame["warnings"].tolist() == [{"constant": "1 of 1 seeds"}]


def cost(forwards, backwards, share=None, seconds=10.0):
    counted = {"forwards": {"student": forwards, "teacher": 50}, "backwards": {"student": backwards}}
    return {**counted, "train_seconds": seconds, "processor_share": share}


def test_passes_are_counted_and_seconds_of_busy_or_unlike_machines_are_in_no_cost():
    gpu = {"hardware": "gpu"}
    records = [
        *(run(seed=seed, cost=cost(100, 100, share=0.99)) for seed in (0, 1, 2)),
        run(strategy="eda", seed=0, cost=cost(250, 200, share=0.98, seconds=20.0)),
        run(strategy="eda", seed=1, cost=cost(250, 200, share=0.4, seconds=90.0)),
        run(strategy="far", seed=0, cost=cost(250, 200, seconds=1.0), provenance=gpu),
        run(strategy="old", seed=0, value=0.4, seconds=30.0),
    ]
    rows = leaderboard(records).set_index("strategy")
    # 100 + 50 rows forward and 100 back are 350 passes; 250 + 50 and 200 are 700.
    assert rows["passes"].to_dict() | {"old": None} == {"none": 350, "eda": 700, "far": 700, "old": None}
    assert rows.loc[["none", "eda", "far"], "passes_ratio"].tolist() == [1, 2, 2]
    assert rows[["passes", "passes_ratio"]].isna().all(axis=1).tolist() == (rows.index == "old").tolist()
    # Of eda counts the seed that was not slowed down, of far none.
    assert rows.loc[["none", "eda", "old"], "cost_ratio"].tolist() == [1, 2, 3]
    assert rows["cost_ratio"].isna().tolist() == (rows.index == "far").tolist()
    assert rows["warnings"].to_dict() == {
        "none": {},
        "eda": {"busy": "1 of 2 seeds, a processor for 40% of the time"},
        "far": {"machines": "gpu"},
        "old": {},
    }
    assert notes(records, "◔") == [
        "◔ timed on a machine busy with other work: these seconds are in no cost: eda on rte"
    ]
    (told,) = [note for note in details(comparison(records)) if note.startswith("◔")]
    assert told.endswith(": rte (1 of 2 seeds, a processor for 40% of the time)")
    busy = [run(task, name, cost=cost(1, 1, share=0.4)) for task in ("rte", "cola") for name in ("none", "eda")]
    assert notes([*busy, run("cola", "mlm")], "◔")[0].endswith(": eda, none on 2 of 2 tasks")
    assert notes(busy, "◔")[0].endswith(": all rows")
    assert notes(records, "⇆") == [
        "⇆ timed on another machine than plain distillation: these seconds are in no cost: far on rte"
    ]


def test_a_mark_on_every_task_stands_by_the_name_and_on_some_in_their_cells_and_a_control_may_change_nothing():
    nothing = {"text_quality": {"changed": 0.0}}
    records = [run(task, name, **nothing) for task in ("rte", "cola") for name in ("shuffle", "clean-twice")]
    records += [run("rte"), run("cola"), run("rte", "eda", **nothing), run("cola", "eda")]
    assert set(cells(records, "rte")) == {"teacher", "none", "shuffle ∅", "clean-twice", "eda"}
    assert (cells(records, "rte")["eda"], cells(records, "cola")["eda"]) == ("50.0∅", "50.0")
    assert cells(records, "rte")["shuffle ∅"].strip() == "50.0"
    (note,) = notes(records, "∅")
    assert note.endswith(": shuffle on cola, rte (0.0%), eda on rte (0.0%)")
