"""What records hold reaches the reader as text: it steers no terminal, breaks no table, starts no formula."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from click.testing import CliRunner
from made_records import leaderboard, run

from bench.cli import main
from bench.files import write_json
from bench.reporting.records import run_folder
from bench.reporting.sheet import Sheet, csv_text, json_text, markdown, printable, text

ESCAPES = "\x1b]0;title\x07\x1b[2J\x1b[31mred\r\n\x9b\u202eevil\u2028"


def test_what_a_terminal_would_obey_is_spelled_out():
    assert printable("mate-kd[rho=0.4] ± 2 – ü") == "mate-kd[rho=0.4] ± 2 – ü"
    assert printable("a\x1b[31mb\nc\td\x7f\u202e") == r"a\x1b[31mb\nc\td\x7f\u202e"


@pytest.fixture
def results(tmp_path):
    odd = f"eda{ESCAPES}"
    records = [
        run(),
        run("rte", odd, 1, strategy_options={odd: odd}, text_quality={"changed": 0.5}, provenance={"hardware": odd}),
        run("rte", odd, 2, strategy_options={odd: 1}, text_quality={"changed": 0.5}),
        run(odd, "none", 3, signature=odd, selection={"rule": odd}),
        run("rte", "failed", 4, status="failed", reason=odd),
        run("rte", "none", 5, preset=odd),
    ]
    for record in records:
        folder = run_folder(tmp_path, record["preset"], record["task"], record["strategy"], record["seed"], "0")
        write_json(folder / "record.json", record)
    (tmp_path / f"runs/mini/rte/{odd.replace('/', '')}").mkdir()
    (bad := tmp_path / f"runs/mini/rte/{odd}/seed-0").mkdir()
    (bad / "record.json").write_text(json.dumps(run(strategy=odd) | {"status": odd}))
    return tmp_path


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json"])
@pytest.mark.parametrize("more", [(), ("--quality",), ("--baseline", "nobody"), ("--strategy", "nobody")])
def test_no_control_character_of_a_record_is_printed(results, form, more):
    done = CliRunner().invoke(main, ["compare", "--results", str(results), "--format", form, *more])
    assert done.exit_code == (2 if "nobody" in more else 0), done.output
    assert "title" in done.output
    for line in done.output.split("\n"):
        assert line.isprintable(), line


def test_markdown_keeps_its_table_whatever_is_in_a_cell():
    sheet = Sheet("a|b", [("t|ask", ["a|b\n| x", "<img>"]), ("*none*", ["1", "`2`"])], ["a|b\n| x", "* <b>"])
    lines = markdown([sheet]).splitlines()
    assert lines == [
        r"### preset a\|b",
        "",
        r"| t\|ask | \*none\* |",
        "| --- | ---: |",
        r"| a\|b\n\| x | 1 |",
        r"| \<img> | \`2\` |",
        "",
        r"- a\|b\n\| x",
        r"- \* \<b>",
    ]


def test_a_cell_of_text_is_no_formula_and_numbers_stay_numbers():
    names = ("=HYPERLINK(1)", "+eda", "-eda", "@eda")
    records = [run(), *(run(strategy=name, value=0.4) for name in names)]
    frame = leaderboard(records)
    rows = list(csv.DictReader(io.StringIO(csv_text(frame))))
    assert {row["strategy"] for row in rows} == {"none", *(f"'{name}" for name in names)}
    assert {row["difference"] for row in rows} == {"0.0", str(0.4 - 0.5)}
    assert {row["strategy"] for row in json.loads(json_text(frame))} == {"none", *names}


def test_a_terminal_gets_colour_and_still_no_escape_of_a_record():
    sheet = Sheet("mini", [("task", [ESCAPES]), ("none", ["1"])], [])
    rest = re.sub(r"\x1b\[[0-9;]*m", "", text([sheet], 100, colour=True))
    assert all(line.isprintable() for line in rest.split("\n"))
