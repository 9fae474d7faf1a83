"""An empty or senseless argument is a wrong request: exit code 2, a line that says what, and nothing done."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from checkout import ROOT
from click.testing import CliRunner

from bench.cli import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--recipe", ""], "unknown value for recipe.method: ''; known: annealing, continuation, kd"),
        (["run", "--tasks", ""], "no task is named"),
        (["run", "--preset", ""], "unknown preset ''"),
        (["run", "--results", ""], "the name of a folder is empty"),
        (["run", "--strategy", ""], "--strategy names no strategy"),
        (["run", "--strategy", "+"], "'+' is no strategy"),
        (["run", "--seeds", "1000000000"], "1<=x<=1000"),
        (["run", "--set", "recipe.clip=-1"], "recipe.clip is the largest norm of the gradient: above 0, not -1.0"),
        (["compare", "--results", ""], "the name of a folder is empty"),
        (["prefetch", "--strategy", ""], "--strategy names no strategy"),
        (["generator", "--set", "generator.lr=nan"], "generator.lr is the highest learning rate: a finite number"),
        (["generator", "--set", "generator.seed=-1"], "generator.seed"),
        (["check", ""], "'' is no strategy"),
        (["list", "strategies", ""], "unknown strategy or family ''"),
        (["list", "presets", ""], "unknown preset ''"),
    ],
)
def test_a_wrong_request_is_refused_in_a_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_a_terminal_would_obey_is_spelled_out_in_an_error(tmp_path):
    (tmp_path / "odd.tsv").write_text("\x1b[2JX\tid\nx\t0\n")
    done = CliRunner().invoke(main, ["run", "--strategy", f"file:{tmp_path}/odd.tsv", "--tasks", "sst2"])
    assert done.exit_code == 1
    assert r"columns found: \x1b[2JX, id" in done.stderr
    assert "\x1b" not in done.stderr


def test_an_interrupt_while_the_program_loads_is_a_line(tmp_path):
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "bench", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Interrupted.\n")


def test_a_generator_that_is_never_trained_is_said_to_be_random(tmp_path):
    sizes = ["hidden_size=8", "num_hidden_layers=1", "num_attention_heads=1", "intermediate_size=8"]
    settings = ["generator.train=never", *(f"generator.shape.{size}" for size in sizes)]
    overrides = [part for setting in settings for part in ("--set", setting)]
    done = CliRunner().invoke(main, ["generator", "--results", str(tmp_path), *overrides])
    assert done.exit_code == 0
    assert "generator.train=never: its weights are random; nothing was trained here" in done.stdout


def test_a_generator_that_cannot_be_built_is_refused(tmp_path):
    arguments = ["generator", "--results", str(tmp_path), "--set", "generator.shape.hidden_size=-5"]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, "no generator of this shape" in done.stderr) == (2, True)


OWN = """from dataclasses import dataclass
from bench import Strategy

@dataclass
class Own(Strategy):
    '''Fails in one of its methods.'''
    def {method}(self{arguments}):
        {body}
"""


@pytest.mark.parametrize(
    ("method", "arguments", "body", "code", "words"),
    [
        ("resources", "", "raise KeyError('corpus')", 1, "own.py:8: KeyError: 'corpus'"),
        ("resources", "", "open('no such file')", 1, "own.py:8: FileNotFoundError"),
        ("rewriters", "", "return self.nothing", 1, "own.py:8: AttributeError"),
        ("supports", ", task", "1 / 0", 1, "own.py:8: ZeroDivisionError"),
        ("resources", "", "return ['wordnet']", 2, "Own.resources() holds 'wordnet': bench.Resource is meant"),
        ("rewriters", "", "return (7,)", 2, "Own.rewriters() holds 7: bench.Rewriter is meant"),
    ],
)
def test_an_own_strategy_that_fails_before_any_work_is_named_with_its_line(
    method, arguments, body, code, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN.format(method=method, arguments=arguments, body=body))
    done = CliRunner().invoke(main, ["run", "--strategy", "./own.py:Own", "--tasks", "rte"])
    assert done.exit_code == code, done.output
    assert words in done.stderr
    assert not list(tmp_path.rglob("record.json"))
