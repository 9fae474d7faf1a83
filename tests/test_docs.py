"""The examples in README, CONTRIBUTING and the pages of the documentation are run as they stand."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from checkout import ROOT
from click.testing import CliRunner
from tiny import PRESET, make_models, rows

from bench import Context, Example
from bench.cli import main, pages
from bench.conformance.suite import examine
from bench.data.custom import load_task_file
from bench.data.tasks import GLUE
from bench.distill.feed import Feed
from bench.distill.losses import divergence
from bench.experiment.presets import load_settings
from bench.remote.store import checked
from bench.reporting import signs
from bench.reporting.marks import ON_COSTS, ON_SCORES, ON_TASKS, ON_TEACHERS
from bench.spec import StrategySpec

DOCUMENTS = ("README.md", "CONTRIBUTING.md", *pages.WRITTEN)


def blocks(document: str, language: str) -> list[str]:
    """The fenced code blocks of one language in a document."""
    text = pages.page(document) if document in pages.WRITTEN else (ROOT / document).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def block_with(document: str, language: str, words: str) -> str:
    (found,) = [block for block in blocks(document, language) if words in block]
    return found


@pytest.fixture
def word_dropout(tmp_path, monkeypatch):
    """A working directory that holds the strategy in twenty lines."""
    (tmp_path / "word_dropout.py").write_text(block_with("own-strategy", "python", "bench"), "utf-8")
    (tmp_path / "tiny.toml").write_text(PRESET)
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
    assert record["strategy_options"] == {"rate": 0.3, "side": "both", "copies": 1, "refresh": 1}
    # Some rows stand beside the record as they were and as they were shown: words are gone, none is new.
    samples = [json.loads(line) for line in path.with_name("samples.jsonl").read_text("utf-8").splitlines()]
    assert len(samples) == 6
    assert len({sample["row"] for sample in samples}) == 6
    for sample in samples:
        (form,) = sample["after"]
        assert len(form) == len(sample["before"]) == 2
        assert all(set(new.split()) <= set(old.split()) for old, new in zip(sample["before"], form, strict=True))
    assert any(sample["after"] != [sample["before"]] for sample in samples)
    # 64 rows, two epochs, each row read as it is and rewritten.
    assert record["cost"]["student_updates"] == 4
    assert record["cost"]["forwards"]["student"] == 2 * 2 * 64


@pytest.fixture
def learned_shift(tmp_path):
    """The adversary of the tutorial."""
    path = tmp_path / "learned_shift.py"
    path.write_text(block_with("adversary", "python", "bench"), "utf-8")
    return StrategySpec.parse(f"{path}:LearnedShift")


def test_the_adversary_satisfies_bench_check(learned_shift):
    assert [finding for finding in examine(learned_shift) if finding.outcome == "failed"] == []


def test_the_adversary_makes_teacher_and_student_disagree(learned_shift):
    models, feed = make_models(), Feed(rows(16), np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32))
    strategy, batch = learned_shift.create(), feed.batch(np.arange(16))
    strategy.setup(models)

    def disagreement() -> float:
        (view,) = strategy.views(batch, models)
        with torch.no_grad():
            logits = models.logits("student", view.student)
        return float(divergence(batch.teacher_logits, logits, is_regression=False))

    models.student.eval()
    before = disagreement()
    losses = [float(strategy.fit_adversary(batch, models)) for _ in range(10)]
    assert losses[0] == pytest.approx(-before, rel=1e-4)
    assert disagreement() > before


def commands() -> list[str]:
    lines = [
        line.partition("#")[0].strip()
        for document in DOCUMENTS
        for block in blocks(document, "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    # What starts several processes of `bench`, with options of its own, is held to `bench` after them.
    lines = [re.sub(r"^(accelerate launch|torchrun).* -m bench ", "bench ", line) for line in lines]
    return list(dict.fromkeys(filter(None, lines)))


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("bench ")])
def test_every_command_in_the_documents_is_one_the_program_knows(line, monkeypatch):
    # An object store is looked at and not opened: no folder is made for it, and its library need not be there.
    monkeypatch.setattr("bench.remote.mirror.opened", lambda url: Path(checked(url)))
    command: click.Command = main
    context = click.Context(main, info_name="bench")
    _, *rest = shlex.split(line)
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.make_context(context.info_name, rest, parent=context.parent)


def test_every_other_command_is_of_a_tool_that_installs_or_tests():
    others = [shlex.split(line) for line in commands() if not line.startswith("bench ")]
    assert {tool for tool, *_ in others} <= {"python3", "pip", "tox", "pytest", "python", "ray"}
    named = [word for _, *words in others for word in words if word.startswith("tests/")]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_link_of_readme_and_contributing_leads_somewhere():
    links = [link for name in DOCUMENTS[:2] for link in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text("utf-8"))]
    assert len(links) > 10
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


def test_every_test_that_the_page_on_faults_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (pages.FOLDER / "faults.md").read_text("utf-8"))
    assert len(named) > 15
    assert [f for f, name in named if f"def {name}" not in (ROOT / f).read_text("utf-8")] == []


def test_every_mark_of_a_table_is_explained():
    text = pages.page("results")
    named = (signs.OPTIMISTIC, signs.NO_BASELINE, signs.LESS_DATA, signs.ONE_SEED, signs.SEEDS_ALONE, signs.ON_FRONT)
    every = {*named, *(mark for marked in (ON_SCORES, ON_COSTS, ON_TASKS, ON_TEACHERS) for mark, _ in marked.values())}
    assert {mark for mark in every if f"`{mark}`" not in text} == set()


@pytest.mark.parametrize("document", ["README.md", "tasks"])
def test_the_task_of_the_documents_loads(document, tmp_path):
    (tmp_path / "reviews.toml").write_text(block_with(document, "toml", "[files]"), "utf-8")
    table = block_with("tasks", "text", "rating")
    (tmp_path / "train.tsv").write_text(table, "utf-8")
    (tmp_path / "dev.tsv").write_text(table, "utf-8")
    data = load_task_file(tmp_path / "reviews.toml").load("reviews")
    assert data.task.labels == ("bad", "good")
    assert [example.label for example in data.splits["train"]] == [1, 0]


def test_the_preset_of_the_documents_loads(tmp_path):
    path = tmp_path / "half.toml"
    path.write_text(block_with("settings", "toml", "[student]"), "utf-8")
    settings = load_settings(str(path))
    assert settings.preset == "half"
    assert settings.student.layers == 2
