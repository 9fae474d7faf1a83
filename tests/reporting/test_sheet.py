"""What records hold reaches the reader as text: it steers no terminal, breaks no table, starts no formula."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
from click.testing import CliRunner
from made_records import leaderboard, run

from bench.cli import main
from bench.files import write_json
from bench.reporting import marks, signs
from bench.reporting.export import csv_text, json_text, parquet_bytes
from bench.reporting.latex import _COMMANDS, _LATIN, latex
from bench.reporting.records import run_folder
from bench.reporting.sheet import Cell, Sheet, markdown, printable, text

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


def test_only_a_bold_cell_is_bold_and_a_group_has_its_label_and_a_rule():
    columns = [("strategy", ["none", "mlm", "clean-twice"]), ("gain", ["–", Cell("+1.2", bold=True), "0.1"])]
    sheet = Sheet("mini", columns, groups={1: "", 2: "controls"})
    assert markdown([sheet]).splitlines()[2:] == [
        "| strategy | gain |",
        "| --- | ---: |",
        "| none | – |",
        "| mlm | **+1.2** |",
        "| *controls* | |",
        "| clean-twice | 0.1 |",
    ]
    lines = text([sheet], 80, colour=True).splitlines()
    assert [line for line in lines if "\x1b[1m" in line] == [line for line in lines if "+1.2" in line]
    plain = text([sheet], 80).splitlines()
    assert plain[3:] == ["none            –", "", "mlm          +1.2", "", "controls", "clean-twice   0.1"]


def test_lines_of_a_cell_stand_below_one_another_and_marks_move_no_number():
    sheet = Sheet("mini", [("strategy", ["a", "b"]), ("rte", [Cell("62.3 \n+1.2°"), "61.0 "])], title="")
    assert text([sheet], 80).splitlines()[2:] == ["a         62.3", "          +1.2°", "b         61.0"]
    assert "| a | 62.3 +1.2° |" in markdown([sheet])


def test_an_endless_name_makes_no_endless_table():
    name = "x" * 10_000
    sheet = Sheet("mini", [("task", ["rte", name]), (name, ["1.0", Cell(f"{name}\n2.0")])])
    for shown in (text([sheet], 100), markdown([sheet])):
        assert max(map(len, shown.splitlines())) < 1000
        assert f"{'x' * 150} … {'x' * 150}" in shown


def test_a_long_name_is_broken_after_its_punctuation_and_no_head_is():
    sheet = Sheet("mini", [("strategy", ["nlpaug:keyboard[aug_char_p=0.1]"]), ("gain", ["1"])])
    assert text([sheet], 80).splitlines()[3:] == ["nlpaug:keyboard      1", "[aug_char_p=0.1]"]


def test_every_mark_has_a_sign_in_latex():
    every = {**marks.ON_SCORES, **marks.ON_COSTS, **marks.ON_TASKS, **marks.ON_TEACHERS}
    shown = [sign for sign, _ in every.values()] + [signs.OPTIMISTIC, signs.NO_BASELINE, signs.LESS_DATA]
    shown += [signs.ONE_SEED, signs.SEEDS_ALONE, signs.ON_FRONT]
    assert "U+" not in latex([Sheet("mini", [("strategy", shown)], shown)])


def test_nothing_of_a_record_is_a_command_of_latex():
    odd = r"\input{/etc/passwd} $x_1$ 5% & #1 ~^ {} <b> -- 中 é"
    written = latex([Sheet("mini", [("strategy", [odd]), ("gain", [Cell("-0.3 [-1.0, +0.4]", bold=True)])], [odd])])
    spelled = (
        r"\textbackslash{}input\{/etc/passwd\} \$x\_1\$ 5\% \& \#1 \textasciitilde{}\textasciicircum{} \{\} "
        r"\textless{}b\textgreater{} -{}-{} [U+4E2D] é"
    )
    assert written.count(spelled.replace("[", "{[}").replace("]", "{]}")) == 1
    assert written.count(spelled) == 1
    assert r"\textbf{\ensuremath{-}0.3 {[}\ensuremath{-}1.0, +0.4{]}} \\" in written


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not on this machine")
def test_what_latex_is_given_it_compiles(tmp_path):
    every = "".join(map(chr, range(32, 127))) + "".join(_COMMANDS) + "".join(_LATIN) + "中\u200b"
    sheets = [
        Sheet(
            every, [("strategy", ["[a]", every]), ("rte", [Cell("62.3\n+1.2", bold=True), "-1"])], [every], lead=[every]
        ),
        Sheet("empty", [], groups={0: ""}),
        Sheet("tall", [("strategy", ["mlm"] * 60), ("rte", [Cell("62.3\n+1.2\n±0.4")] * 60)], ["a word " * 60] * 20),
    ]
    (tmp_path / "tables.tex").write_text(latex(sheets), "utf-8")
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{tables}\end{document}", "utf-8"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode("latin-1")[-2000:]
    assert b"too large" not in done.stdout


def test_parquet_holds_typed_columns_and_what_is_nested_as_json():
    frame = leaderboard([run(), run(strategy="=eda", value=0.6)])
    read = pd.read_parquet(io.BytesIO(parquet_bytes(frame)))
    assert list(read.columns) == list(frame.columns)
    assert read["mean"].dtype == "float64"
    assert json.loads(read["scores"][0]) == [0.6]
    assert list(read["strategy"]) == ["=eda", "none"]
