from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from made_records import run

import bench.cli
from bench.cli import main
from bench.errors import BenchError, UsageError
from bench.files import write_json
from bench.reporting.records import run_folder


def put(results, task, strategy, seed, value, **changes):
    record = run(task, strategy, seed, value, **changes)
    path = run_folder(results, record["preset"], task, strategy, seed, record["id"]) / "record.json"
    write_json(path, record)
    return path


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for task in ("rte", "cola"):
        for seed in (0, 1):
            put(folder, task, "none", seed, 0.5)
            put(folder, task, "nlpaug:keyboard[aug_char_p=0.1]", seed, 0.6 + seed / 10)
    put(folder, "rte", "mixkd", 0, None, status="skipped", reason="needs classes")
    return folder


def compare(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_text_has_the_scores_the_notes_and_where_the_records_are(results):
    done = compare("--results", results)
    assert done.exit_code == 0, done.output
    assert "65.0" in done.stdout
    assert "+15.0 [-48.5, +78.5]" in done.stdout  # two seeds, and no predictions
    assert "skipped: mixkd on rte (seed 0): needs classes" in done.stdout
    assert "9 records (8 done, 1 skipped)" in done.stdout
    assert str(results / "runs") in done.stdout
    assert "\x1b" not in done.stdout


def test_json_is_a_pure_list_with_the_promised_keys(results):
    done = compare("--results", results, "--format", "json")
    rows = json.loads(done.stdout)
    assert len(rows) == 4
    promised = "preset task strategy metric n_seeds mean sd baseline difference train_seconds student_updates"
    for row in rows:
        assert set(promised.split()) <= row.keys()
    (rte,) = [r for r in rows if r["task"] == "rte" and r["strategy"].startswith("nlpaug")]
    assert rte["mean"] == pytest.approx(0.65)
    assert rte["difference"] == pytest.approx(0.15)
    assert rte["baseline"] == "none"
    assert "needs classes" in done.stderr


def test_csv_and_markdown(results):
    rows = list(csv.DictReader(io.StringIO(compare("--results", results, "--format", "csv").stdout)))
    assert len(rows) == 4
    assert sorted(float(row["mean"]) for row in rows) == pytest.approx([0.5, 0.5, 0.65, 0.65])
    text = compare("--results", results, "--format", "markdown").stdout
    assert "| strategy | cola | rte |" in text
    assert "| nlpaug:keyboard[aug_char_p=0.1] | 65.0 +15.0 [-48.5, +78.5] | 65.0 +15.0 [-48.5, +78.5] |" in text
    assert "- skipped: mixkd on rte" in text


def test_filters_by_glob_and_by_a_name_with_brackets(results):
    def kept(*arguments):
        rows = json.loads(compare("--results", results, "--format", "json", *arguments).stdout)
        return {(row["task"], row["strategy"]) for row in rows}

    name = "nlpaug:keyboard[aug_char_p=0.1]"
    assert kept("--tasks", "r*") == {("rte", "none"), ("rte", name)}
    for spelling in (name, "nlpaug:keyboard", "nlpaug*"):
        assert kept("--strategy", spelling) == {("rte", name), ("cola", name)}
    assert kept("--strategy", f"none,{name}", "--tasks", "cola") == {("cola", "none"), ("cola", name)}


def test_the_difference_stays_when_the_baseline_is_filtered_out(results):
    done = compare("--results", results, "--format", "json", "--strategy", "nlpaug*")
    assert [row["difference"] for row in json.loads(done.stdout)] == pytest.approx([0.15, 0.15])


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [
        ("--strategy", "nome", "none"),
        ("--tasks", "rt", "rte"),
        ("--preset", "mimi", "mini"),
        ("--baseline", "nome", "none"),
    ],
)
def test_a_misspelt_name_gets_its_nearest_match(results, option, value, near):
    done = compare("--results", results, option, value)
    assert done.exit_code == 2
    assert f"did you mean {near!r}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("option", ["--strategy", "--tasks", "--preset"])
def test_a_filter_that_names_nothing_is_refused(results, option):
    done = compare("--results", results, option, " ,")
    assert done.exit_code == 2
    assert "is asked for; name some, for example: " in done.stderr
    assert done.stdout == ""


def test_without_results_it_says_what_to_run(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        (tmp_path / "runs").mkdir(exist_ok=True)
        done = compare("--results", folder)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: no ")
        assert "bench run --strategy none,mate-kd" in done.stderr


def test_a_corrupt_record_is_reported_once_and_remembered(results):
    path = put(results, "rte", "none", 2, 0.5)
    path.write_text("{")
    first = compare("--results", results, "--format", "json")
    assert len(json.loads(first.stdout)) == 4
    assert f"Warning: corrupt record {path}" in first.stderr
    assert str(results / "aside") in first.stderr
    second = compare("--results", results)
    assert "corrupt record " not in second.stderr
    assert "corrupt records set aside earlier: 1" in second.stderr


def test_without_a_standard_output_it_says_where_to_write(results):
    command = f"exec {sys.executable} -m bench compare --results {results} >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "no standard output to print to; write to a file: --output FILE" in " ".join(done.stderr.split())


def test_output_goes_to_a_file(results, tmp_path):
    target = tmp_path / "new" / "table.json"
    done = compare("--results", results, "--format", "json", "--output", target)
    assert done.stdout == ""
    assert len(json.loads(target.read_text())) == 4
    blocked = compare("--results", results, "--output", target / "below.txt")
    assert blocked.exit_code == 1
    assert "cannot write" in blocked.stderr


def test_help_ends_with_examples():
    assert "Examples:\n    bench compare\n" in compare("--help").stdout
    assert CliRunner().invoke(main, ["--help"]).stdout.rstrip().endswith("bench compare")


def test_root_help_loads_nothing_heavy_and_no_verb():
    code = (
        "import sys; from click.testing import CliRunner; from bench.cli import main, VERBS\n"
        "out = CliRunner().invoke(main, ['--help']).stdout\n"
        "assert all(verb in out for verb in VERBS), out\n"
        "heavy = {'torch', 'pandas', 'numpy', 'rich', 'transformers', 'datasets'} & set(sys.modules)\n"
        "verbs = [m for m in sys.modules if m.startswith('bench.cli.')]\n"
        "assert not heavy, heavy\n"
        "assert not verbs, verbs\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_verb_or_option_gets_its_nearest_match():
    verb = CliRunner().invoke(main, ["comprae"])
    assert verb.exit_code == 2
    assert "Did you mean 'compare'?" in verb.stderr
    option = CliRunner().invoke(main, ["compare", "--formt", "json"])
    assert option.exit_code == 2
    assert "--format" in option.stderr


def test_version():
    assert CliRunner().invoke(main, ["--version"]).stdout == f"bench, version {bench.__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BenchError("the disk is gone"), 1, "Error: the disk is gone\n"),
        (UsageError("no such thing"), 2, "Error: no such thing\n"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_exit_codes(monkeypatch, error, code, words):
    @click.command()
    def broken():
        raise error

    monkeypatch.setattr(bench.cli, "broken", broken, raising=False)
    monkeypatch.setitem(bench.cli.VERBS, "list", ("bench.cli:broken", ""))
    done = CliRunner().invoke(main, ["list"])
    assert done.exit_code == code
    assert words in done.stderr
    assert "Traceback" not in done.output


def test_quality_in_every_format(results, tmp_path):
    put(results, "rte", "eda", 0, 0.5, text_quality={"changed": 0.25, "rewriting": {"rows": 4, "failed": 1}})
    text = compare("--results", results, "--quality")
    assert text.exit_code == 0, text.output
    assert "25.0%" in text.stdout
    assert "failed: rows that could not be rewritten" in text.stdout
    assert "65.0" not in text.stdout
    (row,) = json.loads(compare("--results", results, "--quality", "--format", "json").stdout)
    assert (row["preset"], row["strategy"], row["changed"], row["failed"]) == ("mini", "eda", 0.25, 0.25)
    assert row["tasks"] == ["rte"]
    (row,) = csv.DictReader(io.StringIO(compare("--results", results, "--quality", "--format", "csv").stdout))
    assert (row["changed"], row["similarity"], row["tasks"]) == ("0.25", "", '["rte"]')
    assert "| eda | 1 | 25.0% | 25.0% |" in compare("--results", results, "--quality", "--format", "markdown").stdout
    nothing = compare("--results", results, "--quality", "--strategy", "none")
    assert nothing.exit_code == 1
    assert "none of these runs made texts" in nothing.stderr


def test_a_shortlist_is_ranked_with_its_critical_difference_and_drawn(results, tmp_path):
    pytest.importorskip("scikit_posthocs")
    for task in ("rte", "cola"):
        put(results, task, "<$eda$>", 0, 0.4)
    names = ("--results", results, "--shortlist", "none,<$eda$>,nlpaug*")
    done = compare(*names)
    table = done.stdout.partition("mean ranks over 2 tasks (1 is best); critical difference 2.34 ")[2].splitlines()
    assert [line.split()[:2] for line in table[3:7]] == [
        ["nlpaug:keyboard", "1.00"],
        ["[aug_char_p=0.1]"],
        ["none", "2.00"],
        ["<$eda$>", "3.00"],
    ]
    assert table[5].endswith("nlpaug:keyboard[aug_char_p=0.1], <$eda$>")
    drawn = compare(*names, "--plot", tmp_path / "ranks.svg")
    assert drawn.exit_code == 0, drawn.output
    svg = (tmp_path / "ranks.svg").read_text("utf-8")
    assert "3.00  &lt;$eda$&gt;" in svg
    assert "critical difference 2.34" in svg


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--by-size --quality", "--quality is a table of its own: leave out --by-size"),
        ("--by-size --published", "--by-size is a table of its own: leave out --published"),
        ("--quality --against mixkd --rows pair", "--quality is a table of its own: leave out --against, --rows"),
        ("--attacks --on imdb", "--attacks is a table of its own: leave out --on"),
        ("--format json --against none", "--against is a table below the first, which json has no place for"),
        ("--rows pair", "--rows pair is of json, csv and parquet: add --format json"),
        ("--against none --within nan", "--within is nan; give points of gain, as 0.5"),
        ("--output a.svg --plot a.svg", "--output and --plot are both a.svg"),
        ("--on ../record", "'../record' cannot be the name of a set"),
    ],
)
def test_what_would_be_ignored_is_refused(results, options, words):
    done = compare("--results", results, *options.split())
    assert (done.exit_code, words in " ".join(done.stderr.split())) == (2, True), done.output


def test_of_several_presets_those_that_have_it_stand_against_a_strategy(results):
    for strategy, value in (("none", 0.5), ("eda", 0.6)):
        for seed in (0, 1):
            put(results, "rte", strategy, seed, value + 0.01 * seed, preset="minilm")
    done = compare("--results", results, "--against", "eda")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("probability of being worse") == 1
    assert "preset minilm: probability of being worse than 'eda'" in done.stdout


def test_a_shortlist_of_two_is_refused_with_what_to_name(results):
    done = compare("--results", results, "--shortlist", "none,nlpaug*")
    assert done.exit_code == 2
    assert "name a shortlist of 3 to 10" in done.output
