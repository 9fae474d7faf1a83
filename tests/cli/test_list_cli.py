from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.experiment.presets import load_settings

HEAVY = ("torch", "pandas", "numpy", "transformers", "datasets", "evaluate", "sklearn")


def bench(*arguments):
    return CliRunner().invoke(main, ["list", *arguments])


def rows(*arguments):
    result = bench(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return {row["name"]: row for row in json.loads(result.stdout)}


@pytest.mark.parametrize("kind", ["strategies", "tasks", "presets"])
def test_nothing_heavy_is_imported(kind):
    code = (
        "import sys; from bench.cli import main; "
        f"main(['list', '{kind}'], standalone_mode=False); "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_strategies_with_needs_and_options():
    found = rows("strategies")
    assert {"none", "finetune", "mate-kd"} <= found.keys()
    assert found["none"]["needs"] == ["teacher"]
    assert found["none"]["options"] == {}
    assert found["mate-kd"]["needs"] == ["teacher", "generator"]
    assert found["mate-kd"]["options"]["rho"] == {"type": "float", "default": 0.3}
    assert all(row["about"] for row in found.values())


def test_strategies_as_text():
    lines = bench("strategies").stdout.splitlines()
    assert any(line.startswith("none ") and "Plain knowledge distillation" in line for line in lines)
    assert any("rho=0.3 (float)" in line for line in lines)


def test_presets_name_their_models():
    found = rows("presets")
    assert {"mini", "minilm", "bert", "roberta"} <= found.keys()
    for name, row in found.items():
        settings = load_settings(name)
        assert row["about"] == settings.about
        assert row["data"] == settings.data.source
        assert row["teacher"] == settings.teacher.model
        assert row["student"] == settings.student.model
        assert row["generator"] == settings.generator.model
    text = bench("presets").stdout
    assert "FacebookAI/roberta-large" in text
    assert "student: teacher (layers: 3)" in text


def test_tasks_of_the_embedded_suite():
    found = rows("tasks")
    assert list(found) == ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
    assert not any(row["partial"] or row["error"] for row in found.values())
    assert found["cola"]["rows"] == found["cola"]["official"]


@pytest.fixture
def small_folder(tmp_path):
    """A GLUE folder with RTE only: 2 of 2,490 training rows, 1 of 277 dev rows, no test."""
    head = "index\tsentence1\tsentence2\tlabel\n"
    folder = tmp_path / "RTE"
    folder.mkdir()
    (folder / "train.tsv").write_text(head + "0\ta b\ta\tentailment\n1\tb\tc\tnot_entailment\n")
    (folder / "dev.tsv").write_text(head + "0\ta b\tc\tnot_entailment\n")
    return tmp_path


def test_a_partial_task_shows_found_and_official_rows(small_folder):
    row = rows("tasks", "--data-dir", str(small_folder))["rte"]
    assert row["rows"] == {"train": 2, "dev": 1}
    assert row["official"] == {"train": 2490, "dev": 277, "test": 3000}
    assert row["partial"] is True
    text = bench("tasks", "--data-dir", str(small_folder)).stdout
    assert "accuracy; partial: train 2 of 2,490, dev 1 of 277, no test" in text


def test_a_task_that_is_not_there_says_why(small_folder):
    row = rows("tasks", "--data-dir", str(small_folder))["cola"]
    assert row["rows"] == {}
    assert "no folder for cola" in row["error"]
    assert "unavailable: no folder for cola" in bench("tasks", "--data-dir", str(small_folder)).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["strategys"], "did you mean 'strategies'?"),
        (["everything"], "known: presets, strategies, tasks"),
        (["tasks", "--preset", "minilmm"], "did you mean 'minilm'?"),
        (["tasks", "--data-dir", "no-such-folder"], "no such data folder: no-such-folder"),
        (["tasks", "--format", "xml"], "'xml' is not one of"),
    ],
)
def test_a_wrong_request_exits_2_and_says_what_is_right(arguments, words):
    result = bench(*arguments)
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize("arguments", [[], ["strategies"], ["tasks"], ["presets"]])
def test_every_help_has_an_example(arguments):
    result = bench(*arguments, "--help")
    assert result.exit_code == 0
    assert f"Example: bench list {' '.join(arguments)}".strip() in result.stdout


def test_the_width_of_the_terminal_is_kept(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, bench("strategies").stdout.splitlines())) <= 60
