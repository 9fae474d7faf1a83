"""Whatever a results folder holds, ``bench compare`` answers: each record is counted or set aside with a reason."""

from __future__ import annotations

import json
import random
import re

import pytest
from click.testing import CliRunner
from made_records import run

from bench.cli import main
from bench.files import write_json
from bench.reporting.records import run_folder, set_aside
from bench.reporting.schema import record_of

WRONG = (
    *(None, True, False, 0, -1, -5, 7, 0.5, -0.5, 1e308, -1e308, 10**400, 2**63, "", "x", "0.5", "nan", "2025-01-01"),
    *([], {}, [1], [[]], ["x"], {"a": 1}, {"dev": None}, {"dev": [1]}, {"dev": {"matthews": "x"}}, {"": {"": {}}}),
    *("\x1b]0;title\x07\x1b[2J\x1b[31mred", "a|b\n| x", "=HYPERLINK(1)", "\u202eabc", "x" * 5000, "[/red]", "{x}"),
)
FORMATS = (["text"], ["json"], ["csv"], ["markdown"], ["text", "--quality"], ["json", "--quality"])


SEARCH = {"strategy": "eda", "trials": 8, "seed": 0, "training_seeds": [0], "metric": "accuracy", "held_out": 100}


def whole_record():
    """A record with all its sections."""
    quality = {"rows": 8, "changed": 0.5, "similarity": 0.9, "rewriting": {"rows": 9, "failed": 1, "success": 2}}
    return run(
        "rte",
        "eda",
        1,
        0.6,
        strategy_options={"alpha": 0.1},
        spec={"teacher": {"epochs": 3, "shape": {"hidden_size": 4}}, "generator": {"layers": 0}},
        generator={"hash": "0"},
        data={"official": {"train": 10, "dev": 6}, "truncated": {"train": 0}},
        text_quality=quality,
        tuned={**SEARCH, "score": 0.7, "as_shipped": None},
        cost={"attack_queries": 3, "rewritten": {"rows": 9}, "seconds": {"student": 1.5}},
    )


@pytest.mark.parametrize(
    "section",
    [{"teacher": {"dev": 1e308}}, {"checks": {"constant": -1e308}}, {"tuned": {**SEARCH, "score": 1e308}}],
    ids=["teacher", "constant", "search"],
)
def test_a_score_that_no_metric_can_be_makes_no_record(section):
    # Three seeds of it would be a sum that no number holds.
    tuned = {"tuned": section["tuned"] | {"as_shipped": None}} if "tuned" in section else section
    with pytest.raises(ValueError, match="Expected `float` [<>]= -?1.0001"):
        record_of(run(**tuned))


def places(tree, path=()):
    """Every place of ``tree``, as a path of keys."""
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


def mutated(draw):
    """The bytes of a record with one to three things wrong."""
    record = whole_record()
    for _ in range(draw.choice((1, 1, 2, 3))):
        *sections, key = draw.choice(list(places(record)))
        inner = record
        for section in sections:
            inner = inner[section]
        what = draw.random()
        if what < 0.15:
            del inner[key]
        elif what < 0.25:
            inner[draw.choice([str(wrong) for wrong in WRONG])] = inner.pop(key)
        else:
            inner[key] = draw.choice(WRONG)
    raw = bytearray(json.dumps(record).encode())
    damage = draw.random()
    if damage < 0.1:
        del raw[draw.randrange(len(raw)) :]
    elif damage < 0.2:
        raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    return bytes(raw)


@pytest.mark.parametrize("block", range(2))
def test_compare_answers_for_any_record(tmp_path, block):
    shown = 0
    for number in range(35):
        draw = random.Random(100 * block + number)
        results = tmp_path / str(number)
        for record in (run(), run("rte", "eda", 0, 0.55), run("cola")):
            keys = ("preset", "task", "strategy", "seed", "id")
            write_json(run_folder(results, *(record[key] for key in keys)) / "record.json", record)
        path = run_folder(results, "mini", "rte", "eda", 1, "0a1b2c3d") / "record.json"
        path.parent.mkdir()
        path.write_bytes(raw := mutated(draw))
        form = draw.choice(FORMATS)
        done = CliRunner().invoke(main, ["compare", "--results", str(results), "--format", *form])
        told = f"seed {100 * block + number}: {raw!r}\n{done.output}"
        assert done.exception is None or isinstance(done.exception, SystemExit), told
        nothing_to_show = "none of these runs made texts" in done.stderr
        assert done.exit_code == (1 if nothing_to_show else 0), told
        aside = set_aside(results)
        assert len(aside) + path.exists() == 1, told
        assert ("Warning: corrupt record" in done.stderr) == bool(aside), told
        shown += not aside
        assert not re.search(r"\b(nan|inf)\b", re.sub(r'"[^"\n]*"', "", done.stdout)) or "nan" in str(raw), told
        if form == ["json"]:
            for row in json.loads(done.stdout):
                assert -1 <= row["mean"] <= 1, told
                assert row["train_seconds"] >= 0, told
    assert 1 <= shown <= 34  # else one of the two was not tried
