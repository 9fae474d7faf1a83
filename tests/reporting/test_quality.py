from __future__ import annotations

import pytest
from made_records import leaderboard, run
from scipy import stats

from bench.reporting import adversary
from bench.reporting import sheet as formats
from bench.reporting.quality import quality, sheets


def made(task, strategy, seed, changed, rewriting=None, queries=0, **numbers):
    record = run(task, strategy, seed)
    record["text_quality"] = {"rows": 8, "changed": changed, **numbers}
    if rewriting is not None:
        record["text_quality"]["rewriting"] = rewriting
        record["cost"]["attack_queries"] = queries
    return record


def table(records):
    return {row["strategy"]: row for row in formats.plain_rows(quality(leaderboard(records)))}


def test_means_are_over_seeds_first_and_then_over_tasks():
    records = [made("rte", "eda", seed, changed) for seed, changed in enumerate((0.1, 0.2, 0.3))]
    records += [made("cola", "eda", 0, 1.0), run("rte"), run("cola") | {"text_quality": None}]
    found = table(records)
    assert found.keys() == {"eda"}
    eda = found["eda"]
    assert eda["changed"] == pytest.approx((0.2 + 1.0) / 2)
    assert (eda["n_tasks"], eda["n_seeds"], eda["tasks"]) == (2, 1, ("cola", "rte"))
    assert eda["similarity"] is None


def test_edits_are_of_changed_texts_and_of_all():
    records = [made("rte", "bae", 0, 0.1, word_edit_rate=0.03), made("rte", "bae", 1, 0.5, word_edit_rate=0.1)]
    records += [made("cola", "eda", 0, 0.0, word_edit_rate=0.0)]
    found = table(records)
    assert found["bae"]["word_edit_rate_changed"] == pytest.approx((0.3 + 0.2) / 2)
    assert found["bae"]["word_edit_rate"] == pytest.approx(0.065)
    assert (found["eda"]["word_edit_rate_changed"], found["eda"]["word_edit_rate"]) == (None, 0)


def test_counts_of_rewriting_become_shares_of_its_rows():
    attack = {"rows": 100, "failed": 5, "success": 30, "failure": 10, "skipped": 15, "left out": 40}
    records = [
        made("rte", "bae", 0, 0.3, attack, queries=250, similarity=None),
        made("rte", "bae", 1, 0.3, {**attack, "failed": 15}, queries=350, similarity=0.5),
        made("rte", "eda", 0, 0.9, {"rows": 100, "cached": 100}),
    ]
    found = table(records)
    bae = found["bae"]
    assert bae["failed"] == pytest.approx(0.1)
    assert bae["attacked"] == pytest.approx(0.55)
    assert bae["attack_success"] == 0.75
    assert bae["attack_clean"] == pytest.approx(0.7)
    assert bae["queries_per_row"] == 3
    assert bae["similarity"] == 0.5  # known of one seed only
    assert found["eda"]["failed"] == 0
    assert found["eda"]["attack_success"] is found["eda"]["attacked"] is found["eda"]["attack_clean"] is None


def test_what_an_adversary_learned_stands_beside_what_it_did_to_the_texts():
    learned = {"rows": 9, "divergence": 0.6, "divergence_at_start": 0.5, "standard_error": 0.1, "kl_from_start": 0.2}
    records = [made("rte", "mate-kd", 0, 0.9) | {"adversary": learned}, made("rte", "mlm", 0, 0.9)]
    found = table(records)
    assert found["mate-kd"]["adversary_gain"] == pytest.approx(1.2)
    assert found["mate-kd"]["kl_from_start"] == 0.2
    assert found["mlm"]["adversary_gain"] is None


def test_the_lead_of_an_adversary_is_the_geometric_mean_over_runs_of_unequal_numbers_of_seeds():
    def ran(task, seed, now, start=0.5, strategy="mate-kd"):
        learned = {"rows": 9, "divergence": now, "divergence_at_start": start, "standard_error": 0.1}
        return made(task, strategy, seed, 0.9) | {"adversary": learned}

    records = [ran("cola", 0, 1.0), ran("cola", 1, 1.0), ran("rte", 0, 0.125), run("cola"), run("rte")]
    # One of a divergence of zero has no ratio. An adversary in embeddings makes no text, and has a lead as well.
    records += [ran("rte", 1, 0.0), ran("rte", 0, 0.6, strategy="shift") | {"text_quality": None}]
    frame = leaderboard(records)
    (sheet,) = adversary.sheets(frame)
    assert sheet.title == "preset mini: the adversary's lead"
    assert sheet.columns == [
        ("strategy", ["mate-kd", "shift"]),
        # (2 · 2 · 1/4) ** (1/3); of the tasks' logarithms 1 and -2, to base 2, the standard error is 1.5.
        (
            "lead",
            [f"1.000 [{2 ** (-1.5 * stats.t.ppf(0.975, 1)):.2f}, {2 ** (1.5 * stats.t.ppf(0.975, 1)):.2f}]", "1.200"],
        ),
        ("runs", ["3", "1"]),
        ("cola", ["2.000", "–"]),
        ("rte", ["0.250", "1.200"]),
    ]
    assert [head for head, _ in adversary.sheets(frame, by_task=False)[0].columns] == ["strategy", "lead", "runs"]
    assert table(records)["mate-kd"]["adversary_gain"] == pytest.approx(1.0)
    assert adversary.sheets(leaderboard([run("rte"), made("rte", "eda", 0, 0.5)])) == []


def test_only_the_main_setting_of_a_task_counts():
    records = [run("rte"), made("rte", "eda", 0, 0.2), made("rte", "eda", 0, 0.8) | {"signature": "another"}]
    assert table(records)["eda"]["changed"] == 0.2


def test_the_leaderboard_carries_the_numbers_of_each_row():
    frame = leaderboard([made("rte", "eda", 0, 0.25), run("rte")])
    found = dict(zip(frame["strategy"], frame["text_quality"], strict=True))
    assert found == {"eda": {"rows": 8, "changed": 0.25}, "none": None}


def test_strategies_go_down_and_numbers_across():
    records = [
        made("rte", "eda", 0, 0.25, divergence_after=0.12345, distinct_2=0.5),
        made("cola", "mlm[rho=0.4]", 0, 1.0, teacher_label_kept=0.875),
    ]
    (sheet,) = sheets(quality(leaderboard(records)))
    assert sheet.columns == [
        ("strategy", ["eda", "mlm[rho=0.4]"]),
        ("tasks", ["1", "1"]),
        ("changed", ["25.0%", "100.0%"]),
        ("label kept", ["–", "87.5%"]),
        ("D after", ["0.123", "–"]),
        ("distinct-2", ["50.0%", "–"]),
    ]
    assert sheet.notes[1] == "changed: texts that differ from the original"
    assert sheet.notes[-2:] == ["tasks of eda: rte", "tasks of mlm[rho=0.4]: cola"]
    lines = [line.split() for line in formats.text([sheet], width=80).splitlines()]
    assert ["strategy", "tasks", "changed", "label", "kept", "D", "after", "distinct-2"] in lines
    assert ["mlm[rho=0.4]", "1", "100.0%", "87.5%", "–", "–"] in lines
    assert "| eda | 1 | 25.0% | – | 0.123 | 50.0% |" in formats.markdown([sheet])
