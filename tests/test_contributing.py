"""The examples in the documents are run as they stand."""

from __future__ import annotations

import json
import random
import re
import shlex

import click
import pytest
from checkout import ROOT
from click.testing import CliRunner

from bench import Context, Example
from bench.cli import main
from bench.data.custom import load_task_file
from bench.data.tasks import GLUE
from bench.experiment.presets import load_settings
from bench.spec import StrategySpec

DOCUMENTS = ("README.md", "CONTRIBUTING.md")
TINY = """
[data]
source = "mini"
max_length = 48
max_train = 64

[teacher]
model = "scratch"
epochs = 1
force = true

[student]
model = "teacher"

[recipe]
epochs = 2

[teacher.shape]
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 16
"""


def blocks(document: str, language: str) -> list[str]:
    """The fenced code blocks of one language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text("utf-8"), re.M | re.S)


def block_with(document: str, language: str, words: str) -> str:
    (found,) = [block for block in blocks(document, language) if words in block]
    return found


@pytest.fixture
def word_dropout(tmp_path, monkeypatch):
    """A working directory that holds the strategy of CONTRIBUTING.md."""
    (tmp_path / "word_dropout.py").write_text(block_with("CONTRIBUTING.md", "python", "bench"), "utf-8")
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return "./word_dropout.py:WordDropout"


def test_the_strategy_leaves_out_words_at_its_rate(word_dropout):
    strategy = StrategySpec.parse(f"{word_dropout}[rate=0.25]").create()
    words = [f"w{i}" for i in range(4000)]
    context = Context(GLUE["mrpc"])
    (((kept, single),),) = strategy.rewrite([Example(0, (" ".join(words), "one"))], [random.Random(0)], context)
    assert len(kept.split()) == pytest.approx(3000, abs=110)  # four standard deviations
    assert [word for word in words if word in set(kept.split())] == kept.split()
    assert single == "one"


def test_the_strategy_runs_from_its_file(word_dropout):
    spec = f"{word_dropout}[rate=0.3]"
    request = ["run", "--strategy", spec, "--tasks", "rte", "--preset", "./tiny.toml", "--results", "out"]
    result = CliRunner().invoke(main, request)
    assert result.exit_code == 0, result.output
    (path,) = ROOT.__class__("out").glob("runs/tiny/rte/*/seed-0-*/record.json")
    record = json.loads(path.read_bytes())
    assert record["status"] == "done"
    assert record["strategy"] == spec
    assert record["strategy_options"] == {"rate": 0.3, "side": "task", "copies": 1, "refresh": 1}
    # 64 rows, two epochs, each row read as it is and rewritten.
    assert record["cost"]["student_updates"] == 4
    assert record["cost"]["forwards"]["student"] == 2 * 2 * 64


def commands() -> list[str]:
    lines = [
        line.partition("#")[0].strip()
        for document in DOCUMENTS
        for block in blocks(document, "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line for line in lines if line.startswith("bench ")]


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_documents_is_one_the_program_knows(line):
    command: click.Command = main
    context = click.Context(main, info_name="bench")
    _, *rest = shlex.split(line)
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.make_context(context.info_name, rest, parent=context.parent)


def test_the_task_of_the_readme_loads(tmp_path):
    (tmp_path / "reviews.toml").write_text(block_with("README.md", "toml", "[files]"), "utf-8")
    rows = block_with("README.md", "text", "rating")
    (tmp_path / "train.tsv").write_text(rows, "utf-8")
    (tmp_path / "dev.tsv").write_text(rows, "utf-8")
    data = load_task_file(tmp_path / "reviews.toml").load("reviews")
    assert data.task.labels == ("bad", "good")
    assert [example.label for example in data.splits["train"]] == [1, 0]


def test_the_preset_of_the_readme_loads(tmp_path):
    path = tmp_path / "half.toml"
    path.write_text(block_with("README.md", "toml", "[student]"), "utf-8")
    settings = load_settings(str(path))
    assert settings.preset == "half"
    assert settings.student.layers == 2
