from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from bench import Strategy, registry
from bench.cli import main
from bench.experiment.presets import load_settings
from bench.resources import Resource

CLEAN = "Plain knowledge distillation on the original text."
HEAVY = ("torch", "pandas", "numpy", "transformers", "datasets", "evaluate", "sklearn", "textattack", "nlpaug", "nltk")


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
    assert found["finetune"]["options"] == {}
    assert found["mate-kd"]["needs"] == ["generator", "teacher"]
    assert found["mate-kd"]["missing"] == []
    assert found["mate-kd"]["options"]["rho"] == {
        "type": "float",
        "default": 0.3,
        "bounds": "above 0 and at most 1",
        "meaning": "the share of tokens masked; some come back as they were",
        "searched": "",
    }
    assert found["mate-kd"]["strength"].startswith("SHARE sets rho")
    assert all(row["about"] for row in found.values())


def test_strategies_as_text():
    lines = bench("strategies").stdout.splitlines()
    assert any(line.startswith("none ") and " ready  Plain knowledge distillation" in line for line in lines)
    assert not any("rho=0.3" in line for line in lines)
    for arguments in (["mate-kd"], ["-v"], ["-v", "mate-*"]):
        assert "rho=0.3 (float, above 0 and at most 1): the share of tokens" in bench("strategies", *arguments).stdout


@dataclass
class Lacking(Strategy):
    """Lacks what you ask for."""

    thing: str = "the moon"

    def resources(self):
        return [Resource(self.thing, lambda: False, f"fetch {self.thing}"), Resource("air", lambda: True, "breathe")]


class Zoo:
    """A family of two."""

    missing = None

    def members(self):
        return ["cat", "dog"]

    def load(self, member):
        return Lacking if member == "dog" else registry.load("none")


class Circus:
    """A family whose library is not installed."""

    missing = "package circus is not installed: pip install circus"

    def members(self):
        return []

    def load(self, member):
        raise AssertionError(member)


@pytest.fixture
def zoo(monkeypatch):
    """Three strategies and two families, one of them absent."""
    registry.targets()
    monkeypatch.setattr(registry, "_registered", {"none": "strategies.none:PlainDistillation", "lacking": Lacking})
    monkeypatch.setattr(registry, "_families", {"zoo": "zoo", "circus": "circus"})
    resolve = registry._resolve
    animals = {"zoo": Zoo(), "circus": Circus()}
    monkeypatch.setattr(registry, "_resolve", lambda name, target: animals.get(target) or resolve(name, target))


@pytest.mark.usefixtures("zoo")
def test_a_strategy_is_ready_or_says_what_it_lacks():
    done = bench("strategies")
    assert done.stdout.splitlines() == [
        "none     ready  Plain knowledge distillation on the original text.",
        "lacking         Lacks what you ask for.",
        "                missing: the moon",
        "",
        "zoo: 1 of 2 ready",
        "zoo:cat  ready  Plain knowledge distillation on the original text.",
        "zoo:dog         Lacks what you ask for.",
        "                missing: the moon",
        "",
        "circus: package circus is not installed: pip install circus",
        "",
        "get what is missing: bench prefetch --strategy NAME; all about it: bench list strategies NAME",
    ]


PAGE = """\
zoo:dog

  Lacks what you ask for.

  verified: no, not against anything but itself
  models needed: teacher
  missing: the moon; get it: fetch the moon

  options:
    thing=the moon (str)
"""


@pytest.mark.usefixtures("zoo")
def test_names_choose_strategies_and_show_all_about_them():
    assert bench("strategies", "zoo:dog").stdout == PAGE
    assert bench("strategies", "zoo").stdout.splitlines()[:2] == ["zoo: 1 of 2 ready", "zoo:cat  ready  " + CLEAN]
    assert list(rows("strategies", "zoo")) == ["zoo:cat", "zoo:dog"]
    assert list(rows("strategies", "*ac*", "none")) == ["none", "lacking"]
    assert list(rows("strategies", "--ready")) == ["none", "zoo:cat"]
    assert bench("strategies", "circus").stdout.strip().startswith("circus: package circus is not installed")
    wrong = bench("strategies", "zoo:dok")
    assert wrong.exit_code == 2
    assert "did you mean 'zoo:dog'?" in wrong.output


def test_a_strategy_has_a_page_also_with_options_around_another_and_from_a_file(tmp_path):
    page = bench("strategies", "best-of-k(aeda)[k=2]", "finetune").stdout
    assert "paper: Glitter, Kamalloo et al., 2022" in page
    assert "Minimax-kNN" in page  # the last line of the docstring
    assert "k=2 (int, at least 1, default 1): the number of views per step" in page
    assert "models needed: none besides the student" in page
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    page = bench("strategies", f"{file}:Mine[rate=0.4]").stdout
    assert f"{file}:Mine[rate=0.4]  (ready)\n\n  Mine alone.\n\n  It does what it does." in page
    assert "rate=0.4 (float, below 1, default 0.1): the share" in page
    assert "plain=none or some" not in page
    wrong = bench("strategies", f"{file}:Mine[rat=0.4]")
    assert (wrong.exit_code, "did you mean 'rate'?" in wrong.output) == (2, True)


MINE = '''
from dataclasses import dataclass
from bench import TextStrategy, option

@dataclass(kw_only=True)
class Mine(TextStrategy):
    """Mine alone.

    It does what it does.
    """

    rate: float = option(0.1, "the share", below=1)
    plain: str = "x"
'''


def test_a_name_far_from_all_shows_the_nearest_and_where_all_are():
    done = bench("strategies", "zzzz")
    assert done.exit_code == 2
    assert done.stderr.count(",") == 4
    assert "(see: bench list strategies)" in done.stderr


def test_a_preset_has_a_page_of_settings():
    page = bench("presets", "mini").stdout
    assert "  max_length=64 (int, at least 8, default 128): the largest number of word pieces per row" in page
    assert "  max_train=None (int or none, at least 1)" in page
    row = rows("presets", "mini")["mini"]
    assert row["settings"]["recipe"]["clip"]["meaning"] == "the largest norm of the gradient"
    assert row["settings"]["recipe"]["epochs"]["value"] == 8


def test_the_page_of_a_preset_has_what_it_gives_to_strategies(tmp_path):
    (tmp_path / "mine.toml").write_text("[strategies.mate-kd]\nstudent_steps = 20\n")
    page = bench("presets", str(tmp_path / "mine.toml")).stdout
    assert "strategies.mate-kd:\n  student_steps=20 (int, at least 1, default 100): the number of student" in page
    assert "strategies" not in bench("presets", "bert").stdout


@pytest.mark.parametrize(("lines", "is_paged"), [(500, False), (20, True)])
def test_a_pager_is_for_what_a_terminal_cannot_hold(monkeypatch, lines, is_paged):
    paged = []
    monkeypatch.setattr("click.echo_via_pager", paged.append)
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback=None: os.terminal_size((80, lines)))
    assert bench("strategies", "mate-kd").stdout
    assert not paged  # no terminal
    monkeypatch.setattr("bench.cli.entries.sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    bench("strategies", "mate-kd")
    assert bool(paged) is is_paged


@pytest.mark.usefixtures("zoo")
def test_json_has_all_of_every_strategy_and_an_absent_family_on_stderr():
    done = bench("strategies", "--format", "json")
    assert "circus: package circus" in done.stderr
    dog = json.loads(done.stdout)[-1]
    assert dog == {
        "name": "zoo:dog",
        "about": "Lacks what you ask for.",
        "needs": ["teacher"],
        "verified": None,
        "description": "",
        "options": {"thing": {"type": "str", "default": "the moon", "bounds": "", "meaning": "", "searched": ""}},
        "strength": "",
        "missing": [{"name": "the moon", "command": "fetch the moon"}],
    }


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


def test_a_task_that_is_named_is_shown_with_its_first_rows():
    done = bench("tasks", "co*", "rte")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["cola", "rte"]
    assert sum("acceptable: " in line for line in lines) == 3
    unknown = bench("tasks", "colla")
    assert unknown.exit_code == 2
    assert "unknown task 'colla'; did you mean 'cola'?" in unknown.output


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
    # But for commands and names of models, which are to be copied.
    entries = bench("strategies").stdout.partition("\n\n")[0]
    assert max(map(len, entries.splitlines())) <= 60


def test_a_task_file_of_one_s_own_is_read_to_the_last_row_and_its_first_ones_are_shown(tmp_path):
    (tmp_path / "rows.tsv").write_text("text\tlabel\na good film\tyes\ndull\tno\n")
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\ntexts = ["text"]\nlabels = ["no", "yes"]\n[files]\ntrain = "rows.tsv"\ndev = "rows.tsv"\n'
    )
    done = CliRunner().invoke(main, ["list", "tasks", str(path)])
    assert done.exit_code == 0, done.output
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[:4] == ["own  own", "accuracy; train 2, dev 2", "yes: a good film", "no: dull"]
    assert lines[4].startswith("doubtful: the texts of 2 of 2 dev rows are also in train")
    (row,) = json.loads(CliRunner().invoke(main, ["list", "tasks", str(path), "--format", "json"]).stdout)
    assert row["rows"] == {"train": 2, "dev": 2}
    assert len(row["doubts"]) == 1
    (tmp_path / "rows.tsv").write_text("text\tlabel\na good film\tyes\ndull\tperhaps\n")
    wrong = CliRunner().invoke(main, ["list", "tasks", str(path)])
    assert wrong.exit_code == 1
    assert "rows.tsv:3: label 'perhaps' is not allowed; allowed: no, yes" in wrong.stderr


def test_baselines_of_any_task_are_listed_where_they_are_asked_for(tmp_path):
    rows = "".join(f"{word} {i}\t{label}\n" for i in range(20) for word, label in (("good", "yes"), ("dull", "no")))
    (tmp_path / "train.tsv").write_text(f"text\tlabel\n{rows}")
    (tmp_path / "dev.tsv").write_text("text\tlabel\ngood film\tyes\ndull film\tno\n")
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\ntexts = ["text"]\nlabels = ["no", "yes"]\n[files]\ntrain = "train.tsv"\ndev = "dev.tsv"\n'
    )
    done = CliRunner().invoke(main, ["list", "tasks", str(path), "--baselines"])
    assert done.exit_code == 0, done.output
    assert "     baselines: majority 50.0, words 100.0, bigrams 100.0\n" in done.stdout
    assert "baselines" not in CliRunner().invoke(main, ["list", "tasks", str(path)]).stdout
    (row,) = json.loads(
        CliRunner().invoke(main, ["list", "tasks", str(path), "--baselines", "--format", "json"]).stdout
    )
    assert row["baselines"] == {"majority": 0.5, "words": 1.0, "bigrams": 1.0}


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "bench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("bench, version ")
