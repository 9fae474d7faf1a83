from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest
from rewriting_rows import CONTEXT, Watch, calls, gone, rows, sentences

from bench.data.tasks import Example
from bench.errors import BenchError
from bench.rewriting import engine
from bench.rewriting.engine import rewrite_all


def test_neither_workers_nor_order_nor_company_change_a_row(create):
    examples = sentences(60)
    one = rewrite_all(create("Library"), examples, CONTEXT, workers=1).forms
    assert rewrite_all(create("Library"), examples, CONTEXT, workers=3).forms == one
    assert rewrite_all(create("Library"), examples[::-1], CONTEXT, workers=2).forms == one[::-1]
    assert rewrite_all(create("Plain"), examples, CONTEXT).forms == one
    others = [replace(example, id=example.id + 100) for example in examples[7:9]]
    assert rewrite_all(create("Plain"), others, CONTEXT).forms == one[7:9]
    assert [sorted(form[0].split()) for (form,) in one] == [sorted(e.texts[0].split()) for e in examples]
    assert sum(form == e.texts for (form,), e in zip(one, examples, strict=True)) < 3


def test_seed_and_edition_make_other_rewrites(create):
    examples = sentences(20)
    forms = [
        rewrite_all(create("Plain"), examples, CONTEXT, seed=seed, edition=edition).forms
        for seed, edition in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    assert all(a != b for i, a in enumerate(forms) for b in forms[:i])


def test_a_text_that_occurs_twice_is_rewritten_once_whatever_its_id(create, tmp_path):
    log = tmp_path / "log"
    done = rewrite_all(create(f"Plain[log={log}]"), rows("a b c d e", "x", "a b c d e"), CONTEXT)
    assert done.forms[0] == done.forms[2]
    assert done.forms[0] is not done.forms[2]
    assert calls(log)[0] == {"a b c d e": 1, "x": 1}


def test_attacks_are_told_apart_by_label_and_counted(create):
    examples = [Example(0, ("attacked one",), 1), Example(1, ("attacked one",), 0), Example(2, ("attacked one",), 1)]
    done = rewrite_all(create("Plain"), examples, CONTEXT)
    assert done.outcomes == {"success": 2, "failure": 1}
    assert done.queries == 14  # the third row is the first again
    assert done.forms == [[("attacked one",)]] * 3


def test_many_rows_without_a_library_go_to_workers_too(create, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_FEW_ROWS", 10)
    log = tmp_path / "log"
    rewrite_all(create(f"Plain[log={log}]"), sentences(9), CONTEXT, workers=2)
    assert calls(log)[1] == {os.getpid()}
    log.unlink()
    rewrite_all(create(f"Plain[log={log}]"), sentences(10), CONTEXT, workers=2)
    assert os.getpid() not in calls(log)[1]
    log.unlink()
    rewrite_all(create(f"Plain[log={log}]"), sentences(10), CONTEXT, workers=1)
    assert calls(log)[1] == {os.getpid()}


def test_rows_that_crash_or_raise_stay_as_they_are(create, tmp_path):
    examples, log = sentences(40), tmp_path / "log"
    for row, text in {9: "raise me", 15: "crash me", 16: "crash me too", 30: "full disk", 35: "surrogate"}.items():
        examples[row] = replace(examples[row], texts=(text,))
    strategy, watch = create(f"Library[log={log}]"), Watch()
    done = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=2, observer=watch)
    died = "the worker process died (exit code 3): the very last word"
    assert {row: re.sub(r" \(\w+\.py:\d+\)$", "", why) for row, why in done.failed.items()} == {
        9: "ValueError: two lines",
        15: died,
        16: died,
        30: "OSError: [Errno 28] No space left on device",
        35: "its rewrite is no Unicode text (half a surrogate pair)",
    }
    assert all(done.forms[row] == [examples[row].texts] for row in done.failed)
    clean = sentences(40)
    good = [row for row in range(40) if row not in done.failed]
    assert [done.forms[row] for row in good] == [
        rewrite_all(create("Plain"), clean, CONTEXT).forms[row] for row in good
    ]
    assert len(watch.notes) == 1
    assert "5 of 40 rows failed and stay as they are; the first is example 9: ValueError: two lines" in watch.notes[0]
    assert watch.notes[0].endswith(" (the next command tries 3 of them again)")
    assert all(gone(pid) for pid in calls(log)[1])
    # What raised is remembered; what may have been the machine's fault is tried again.
    log.unlink()
    again = rewrite_all(strategy, examples, CONTEXT, cache=tmp_path, workers=1)
    assert (again.forms, again.failed, again.cached) == (done.forms, done.failed, 37)
    assert calls(log)[0].keys() >= {"crash me", "crash me too", "full disk"}
    assert len(calls(log)[0]) == 4  # and one row that works, which tells how long loading takes


def test_a_failed_row_is_kept_as_often_as_others_are_rewritten(create):
    done = rewrite_all(create("Plain"), rows("raise", "two", "two b"), CONTEXT)
    assert done.forms == [[("raise",)] * 2, [("a",)] * 2, [("a",)] * 2]
    assert re.fullmatch(r"ValueError: two lines \(\w+\.py:\d+\)", done.failed[0])


@pytest.mark.parametrize("name", ["Plain", "Library"])
def test_a_strategy_that_always_fails_is_an_error_and_leaves_nothing_behind(create, tmp_path, name):
    examples = rows(*(f"raise {i}" for i in range(200)))
    with pytest.raises(BenchError, match=r"could not rewrite 50 of 50 rows; .* example 0: ValueError: two lines"):
        rewrite_all(create(name), examples, CONTEXT, cache=tmp_path, workers=1)
    assert list(tmp_path.glob("rewrites/*/*.parquet")) == []
    with pytest.raises(BenchError, match=r"could not rewrite 2 of 2 rows"):
        rewrite_all(create(name), examples[:2], CONTEXT, workers=1)


def test_half_of_the_rows_failed_is_an_error_and_fewer_is_not(create, tmp_path):
    # Rows count, not different texts; and those that failed before count too.
    examples = rows("raise", "a b", "raise", "c d", "e f")
    fewer = rewrite_all(create("Plain"), examples, CONTEXT, cache=tmp_path)
    assert list(fewer.failed) == [0, 2]
    with pytest.raises(BenchError, match=r"could not rewrite 3 of 6 rows; the first is example 0: ValueError"):
        rewrite_all(create("Plain"), [*examples, *rows("raise", start=5)], CONTEXT, cache=tmp_path)


@pytest.mark.parametrize("word", ["string", "strings", "texts", "numbers", "none"])
def test_forms_of_the_wrong_shape_are_an_error_that_names_the_example(create, word):
    with pytest.raises(BenchError, match=r"Plain: rewrite\(\) made .* of example 3; .* a tuple of 1 text$"):
        rewrite_all(create("Plain"), [*sentences(3), *rows(word, start=3)], CONTEXT)


def test_another_number_of_forms_or_rows_is_an_error_too(create):
    with pytest.raises(BenchError, match=r"made 2 forms of example 3 and 1 of others; every row needs equally many"):
        rewrite_all(create("Library"), [*sentences(3), *rows("two", start=3)], CONTEXT, workers=1)
    with pytest.raises(BenchError, match=r"Short: rewrite\(\) returned 0 rows of 1, example 0 on"):
        rewrite_all(create("Short"), sentences(3), CONTEXT, workers=1)


@pytest.mark.parametrize("name", ["Plain", "Library"])
def test_no_rows_are_no_work(create, name):
    assert rewrite_all(create(name), [], CONTEXT).forms == []
