from __future__ import annotations

import dataclasses
import re

import pandas as pd
import pytest
from made_records import comparison, run

from bench.errors import UsageError
from bench.reporting import kinds
from bench.reporting import sheet as formats
from bench.reporting.against import against
from bench.reporting.notes import belief
from bench.reporting.points import gain_with_bounds, multiple, points
from bench.reporting.summary import groups, ordered, summary
from bench.reporting.tables import LONGEST_NOTE, only, tables
from bench.reporting.task_table import task_table

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


def read(sheet):
    """A table as {head: {first cell: cell}}, without alignment."""
    columns = [(head, [cell.text for cell in cells]) for head, cells in sheet.cells()]
    names = columns[0][1]
    return {head: dict(zip(names, (" ".join(cell.split()) for cell in cells), strict=True)) for head, cells in columns}


def bold(sheet):
    return {" ".join(cell.text.split()) for _, cells in sheet.cells() for cell in cells if cell.bold}


def field(strategies, tasks=("rte", "cola", "sst2"), seeds=5):
    """Runs of strategies with a gain each, over seeds that go up and down by two points."""
    return [
        run(task, strategy, seed, 0.5 + gain + 0.02 * (seed % 2) + 0.001 * (seed * seed * (n + 2) % 5))
        for task in tasks
        for n, (strategy, gain) in enumerate(strategies.items())
        for seed in range(seeds)
    ]


def test_a_note_with_endless_names_is_cut_and_full_says_it_whole():
    runs = [run(task, name, 0, 0.5) for task in ("rte", "cola") for name in ("none", "eda")]
    runs += [run("rte", f"strategy-{n:03}", 0, 0.5) for n in range(300)]
    found = comparison(runs)
    (cut,) = [note for note in tables(found)[-1].notes if note.startswith("not run on cola")]
    assert len(cut) < LONGEST_NOTE + 100
    assert re.search(r"strategy-000, .*, strategy-\d{3}, and so on \(whole: --full\)$", cut)
    (whole,) = [note for note in tables(found, full=True)[-1].notes if note.startswith("not run on cola")]
    assert whole.count("strategy-") == 300


def predictions(records, right):
    """Predictions of runs: of so many of 100 rows the class is right."""
    parts = []
    for record in records:
        hits = [int(row < right[record["strategy"]]) for row in range(100)]
        own = {"row": range(100), "label": 1, "prediction": hits}
        parts.append(pd.DataFrame(own).assign(id=record["id"], split="dev"))
    return pd.concat(parts)


def test_a_gain_stands_with_its_interval_and_verdict_and_only_what_is_better_is_bold():
    found = comparison(field({"none": 0.0, "eda": 0.1, "aeda": 0.0, "mlm": -0.1}))
    sheet = summary(found, 80)
    table = read(sheet)
    of = found.strategies.set_index("strategy")
    for name in ("eda", "aeda", "mlm"):
        row = of.loc[name]
        shown = [float(number) for number in re.findall(r"[-+]?\d+\.\d", table["gain [95 %]"][name])]
        assert shown == pytest.approx([100 * row[key] for key in ("gain", "gain_low", "gain_high")], abs=0.051)
    assert table["verdict"] == {"none": "", "eda": "better", "aeda": "not distinguishable", "mlm": "worse"}
    assert bold(sheet) == {"eda", "better", table["gain [95 %]"]["eda"]}
    assert read(task_table(found, 200)[0])["rte"]["none"] == "51.0"


def test_strategies_stand_by_gain_below_the_baseline_and_controls_and_references_apart():
    strategies = {"none": 0, "b": 0.1, "a": 0.2, "finetune": 0.3, "clean-twice": 0.15, "none[forwards_of=a]": 0.1}
    found = comparison(field(strategies))
    rows = ordered(found)
    assert [row["strategy"] for row in rows] == ["none", "a", "b", "none[forwards_of=a]", "clean-twice", "finetune"]
    assert groups(rows) == {1: "", 3: "other budgets", 4: "controls", 5: "reference"}
    text = formats.text([summary(found, 80)], 80)
    assert "\n\ncontrols\nclean-twice" in text
    assert "\n\nreference\nfinetune" in text


def test_every_control_is_a_strategy():
    from bench.registry import names

    assert {*kinds.CONTROLS} <= {*names()}


def test_one_seed_shows_an_interval_over_rows_alone_and_says_that_seeds_are_left_out():
    records = [run("rte", name, value=score, id=name) for name, score in (("none", 0.5), ("eda", 0.6))]
    found = comparison(records, predictions=predictions(records, {"none": 50, "eda": 60}))
    table = read(summary(found, 80))
    assert table["verdict"]["eda"] == "cannot tell"
    # Ten rows of a hundred are gained and none lost: 10 ± t(99) · 3.02.
    assert table["gain [95 %]"]["eda"] == "+10.0 [+4.0, +16.0]"
    assert "one seed: the interval takes in dev rows and leaves out seeds: all rows" in belief(found)
    assert not bold(summary(found, 80))


def test_no_difference_is_shown_without_an_interval():
    found = comparison([run(), run(strategy="eda", value=0.61)])
    shown = "".join(formats.text(tables(found, width, by_task=True, full=True), width) for width in (80, 200))
    assert "61.0" in shown
    assert "11.0" not in shown
    assert "no interval: neither predictions nor seeds that differ: all rows" in belief(found)


def test_what_only_some_intervals_leave_out_is_marked_in_their_cells():
    records = field({"none": 0.0, "eda": 0.1}, ("rte",), 2) + field({"none": 0.0, "eda": 0.1}, ("cola",), 1)
    records = [record | {"id": f"{record['task']}{record['strategy']}{record['seed']}"} for record in records]
    cola = [record | {"main": record["main"] | {"value": 0.5}} for record in records if record["task"] == "cola"]
    cola[1]["main"]["value"] = 0.6
    shown = [record for record in records if record["task"] == "rte"] + cola
    found = comparison(shown, predictions=predictions(cola, {"none": 50, "eda": 60}))
    table = read(task_table(found, 200)[0])
    assert table["cola"]["eda"] == "60.0 +10.0 [+4.0, +16.0]°"
    assert table["rte"]["eda"].endswith("~")
    assert any(note.startswith("° one seed: ") and note.endswith(": eda (cola)") for note in belief(found))


@pytest.fixture(scope="module")
def wide():
    """Nine tasks and a dozen strategies, all of one strategy's scores but its name."""
    one = comparison(field({"none": 0.0, "eda": 0.03}, TASKS, 2))
    names = ["nlpaug:keyboard[aug_char_p=0.1]", "best-of-k(eda)", *(f"s{n}" for n in range(9))]

    def many(frame):
        others = frame[frame["strategy"] == "eda"]
        copies = [others.assign(strategy=name, base=name) for name in names]
        return pd.concat([frame[frame["strategy"] == "none"], *copies], ignore_index=True)

    return dataclasses.replace(one, tasks=many(one.tasks), strategies=many(one.strategies))


@pytest.mark.parametrize(("width", "height"), [(240, 1), (170, 1), (120, 2), (80, 3)])
def test_nine_tasks_and_a_dozen_strategies_fit_the_width(wide, width, height):
    found = wide
    sheet, lines = task_table(found, width)
    assert lines == height
    text = formats.text([summary(found, width), sheet], width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    (heads,) = [line for line in text.splitlines() if line.startswith("strategy") and "cola" in line]
    assert heads.split() == ["strategy", *TASKS]
    assert all(text.count(f"{100 * mean:.1f}") for mean in found.tasks["mean"])
    assert len(tables(found, width)) == (2 if height < 3 else 1)
    assert len(tables(found, width, by_task=True)) == 2
    assert len(tables(found, width, by_task=False)) == 1


def test_holes_are_named_and_what_is_over_other_tasks_is_ranked_with_nothing():
    records = field({"none": 0.0, "eda": 0.1, "freelb": 0.2, "mixkd": 0.3})
    records = [r for r in records if (r["task"], r["strategy"]) != ("cola", "eda")]
    records = [r for r in records if (r["task"], r["strategy"]) != ("sst2", "mixkd")]
    records.append(run("sst2", "freelb", seed=7, status="failed", reason="out of memory"))
    records.append(run("sst2", "mixkd", status="skipped", reason="needs classes"))
    found = comparison(records)
    assert groups(ordered(found)) == {1: "over other tasks"}
    told = belief(found)
    assert "not run on cola: eda" in told
    assert "out of the averages, as a seed failed: freelb on sst2" in told
    assert "failed: freelb on sst2 (seed 7): out of memory" in told
    assert "skipped: mixkd on sst2 (seed 0): needs classes" in told
    assert read(task_table(found, 200)[0])["sst2"]["mixkd"] == "skip"
    # Shown alone it is not any better placed.
    assert groups(ordered(only(found, {"none", "eda"}))) == {1: "over other tasks"}
    assert "not run on cola: eda" in belief(only(found, {"none", "eda"}))


def test_runs_of_another_setting_stand_apart_with_what_is_unlike():
    other = {"signature": "bench=0.2.0|data=rte", "cost": {"student_updates": 7}}
    records = [run(seed=s) for s in (0, 1)] + [run(strategy="eda", seed=0, value=0.9, **other)]
    found = comparison(records)
    (note,) = [note for note in belief(found) if note.startswith("apart")]
    assert note == "apart, in no average: rte [2] with bench 0.2.0, not 0.1.0; student updates 7, not 100: eda 90.0"
    assert "90.0" not in formats.text([summary(found, 80)], 80)


def test_what_a_reader_must_know_of_data_selection_and_teachers_is_said():
    part = {"rows": {"train": 363846, "dev": 7600}, "official": {"train": 363846, "dev": 40430}}
    few = {"rows": {"train": 500, "dev": 9}, "official": {"train": 67349, "dev": 9}, "max_train": 500}
    records = [
        run("qqp", data=part),
        run("sst2", data=few, teacher={"hash": "aaaa"}),
        run("sst2", "eda", data=few, teacher={"hash": "bbbb"}),
        run("rte", selection={"rule": "best-dev", "optimistic": True}),
        run("cola"),
    ]
    found = comparison(records)
    heads = [head for head, _ in task_table(found, 200)[0].columns]
    assert heads == ["strategy", "cola", "sst2§", "qqp§", "rte*"]
    told = belief(found)
    for note in (
        "§ official rows are missing, not comparable with published scores: qqp (dev 7600 of 40430)",
        "§ trained on a subset (max_train): sst2 (at most 500 rows)",
        "* the student was chosen on the very rows reported, so optimistic: rte (best-dev)",
        "teachers of one setting and unlike weights on sst2: differences may be theirs",
    ):
        assert note in told


def test_seeds_that_the_baseline_lacks_are_said():
    records = field({"none": 0.0}, ("rte",), 3) + field({"eda": 0.1}, ("rte",), 2)
    (note,) = [note for note in belief(comparison(records)) if "other seeds" in note]
    assert note.endswith(": eda on rte (2 seeds, 2 shared)")


def test_a_smoke_run_says_that_it_says_nothing():
    smoke = "a smoke run: it shows that all works; its scores say nothing of strategies"
    assert smoke in belief(comparison([run() | {"preset": "quick"}]))
    assert smoke not in belief(comparison([run()]))


def test_splits_beside_dev_are_in_no_average_and_shown_on_demand():
    scores = {"dev": {"accuracy": 0.8}, "dev_mismatched": {"accuracy": 0.71}, "shifted": {"accuracy": 0.52}}
    found = comparison([run("mnli", value=0.8, metrics=scores), run("rte", value=0.6)])
    assert read(summary(found, 100))["score"]["none"] == "70.0"
    assert not any("71.0" in formats.text([sheet]) for sheet in tables(found))
    *_, mismatched, shifted = tables(found, full=True)
    assert read(mismatched)["mnli"] == {"none": "71.0"}
    assert read(shifted)["mnli"] == {"none": "52.0"}


def test_nothing_at_all_is_still_a_table():
    found = comparison([run(status="failed", reason="why", main=None)])
    assert "failed: none on rte (seed 0): why" in formats.text(tables(found))


def test_without_the_baseline_scores_are_all_there_is():
    found = comparison([run(strategy="eda"), run(strategy="mlm", value=0.6)])
    sheet = summary(found, 80)
    assert read(sheet) == {"strategy": {"eda": "eda", "mlm": "mlm"}, "score": {"eda": "50.0", "mlm": "60.0"}}
    assert sheet.lead == ["scores in points of 100, rte (accuracy), 1 seed"]


def test_the_front_of_gain_against_cost_is_marked():
    found = comparison(field({"none": 0.0, "eda": 0.1, "mlm": 0.05}))
    passes = found.strategies.assign(passes_ratio=[2.0, 3.0, 1.0], on_front=[True, False, True])
    sheet = summary(dataclasses.replace(found, strategies=passes), 100)
    assert read(sheet)["passes"] == {"none": "1.0×◆", "eda": "2.0×◆", "mlm": "3.0×"}


def test_numbers():
    assert (points(-0.0004, sign=True), points(0.0126, sign=True)) == ("0.0", "+1.3")
    assert points(None) == points(float("nan")) == "–"
    assert gain_with_bounds(0.012, -0.004, 0.028) == "+1.2 [-0.4, +2.8]"
    assert gain_with_bounds(0.012, None, None) == "–"
    assert (multiple(1.0), multiple(99.7), multiple(None)) == ("1.0×", "100×", "–")


def test_against_another_strategy_stand_probabilities_that_add_up():
    found = comparison(field({"none": 0.0, "eda": 0.1, "aeda": 0.0}))
    table = read(against(found, "none", 0.005))
    shares = {
        name: [int(table[kind][name].rstrip("%")) for kind in ("worse", "same", "better")] for name in table["same"]
    }
    assert list(shares) == ["eda", "aeda"]
    assert shares["eda"][2] >= 99
    assert all(sum(own) in (99, 100, 101) for own in shares.values())
    with pytest.raises(UsageError, match="did you mean 'eda'"):
        against(found, "edaa", 0.005)


def test_who_stands_against_another_over_fewer_tasks_or_without_an_interval_is_named():
    runs = field({"none": 0.0, "eda": 0.1}) + field({"aeda": 0.0}, tasks=("rte",))
    runs += [run("rte", "same", seed, one["main"]["value"]) for seed, one in enumerate(runs[:5])]
    runs += [run("rte", "late", 9, 0.5)]
    sheet = against(comparison(runs), "none", 0.005)
    assert read(sheet)["better"]["same"] == "–"
    assert sheet.notes == [
        "no seed in common: late",
        "over fewer tasks than the others' 3: aeda (1), same (1)",
        "no interval, neither predictions nor seeds that differ: aeda, same",
    ]


def test_the_seeds_that_would_tell_something_are_named():
    notes = {seeds: " ".join(belief(comparison(field({"none": 0, "eda": 0.1}, ("rte",), seeds)))) for seeds in (5, 6)}
    assert "no p below 0.062 was possible; give more seeds, --seeds 6" in notes[5]
    assert "give more seeds" not in notes[6]
    rivals = dict.fromkeys(("eda", "aeda", "mlm", "sra"), 0.1)
    assert "--seeds 8" in " ".join(belief(comparison(field({"none": 0.0} | rivals, ("rte",), 5))))


def test_a_seed_that_was_run_twice_is_named():
    late = run("rte", "eda", 1, 0.9, id="22222222", provenance={"finished": "2025-02-01"})
    notes = belief(comparison([*field({"none": 0.0, "eda": 0.1}, ("rte",), 3), late]))
    assert "run more than once in one setting, and the run that finished last counts: eda on rte (seed 1)" in notes


def test_a_gain_over_fewer_tasks_than_the_score_stands_apart():
    runs = [
        one for one in field({"none": 0.0, "eda": 0.1, "mlm": 0.0}) if (one["strategy"], one["task"]) != ("eda", "rte")
    ]
    found = comparison([*runs, run("rte", "eda", 9, 0.6)])
    rows = {row["strategy"]: row for row in ordered(found)}
    assert (rows["eda"]["n_tasks"], rows["eda"]["kind"]) == (2, kinds.OTHER_TASKS)
    assert (rows["mlm"]["n_tasks"], rows["mlm"]["kind"]) == (3, kinds.STRATEGY)
