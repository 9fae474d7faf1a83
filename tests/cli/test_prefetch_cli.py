from __future__ import annotations

from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from bench import Rewriter, Strategy, registry
from bench.cli import VERBS, main
from bench.errors import BenchError
from bench.resources import Resource

HERE: set[str] = set()
ASKED: list[str] = []


def thing(name: str, fetch: bool = True) -> Resource:
    """Something to be fetched; a "bad" thing fails, a "lost" one comes and is not found."""

    def get() -> None:
        ASKED.append(name)
        if name == "bad":
            raise BenchError("no network")
        if name != "lost":
            HERE.add(name)

    return Resource(name, lambda: name in HERE, f"get {name}", get if fetch else None)


@dataclass
class Wants(Strategy):
    """Wants things."""

    things: tuple[str, ...] = ("corpus",)
    program: bool = False

    def resources(self):
        return [*map(thing, self.things), *([thing("java", fetch=False)] if self.program else [])]


@pytest.fixture(autouse=True)
def wanting(monkeypatch):
    HERE.clear()
    ASKED.clear()
    registry.targets()
    monkeypatch.setattr(registry, "_registered", {**registry._registered, "wants": Wants})
    monkeypatch.setattr(registry, "_families", {})
    monkeypatch.setitem(VERBS, "prefetch", ("bench.cli.prefetch:prefetch", ""))


def prefetch(strategy, *arguments):
    return CliRunner().invoke(main, ["prefetch", "--strategy", strategy, *arguments])


def test_each_missing_thing_is_fetched_once_and_then_there_is_nothing_to_do():
    first = prefetch("none,wants,wants[things=(corpus,vectors)]")
    assert first.exit_code == 0, first.output
    assert first.stdout == "[1/2] corpus: get corpus\n[2/2] vectors: get vectors\n"
    assert ASKED == ["corpus", "vectors"]
    again = prefetch("wants[things=(corpus,vectors)]")
    assert again.exit_code == 0
    assert "nothing to get" in again.stdout
    assert len(ASKED) == 2


def test_what_fails_is_named_with_its_command_and_the_rest_is_fetched():
    done = prefetch("wants[things=(bad,lost,corpus),program=true]")
    assert done.exit_code == 1
    assert ASKED == ["bad", "lost", "corpus"]
    assert {"corpus"} == HERE
    assert "no network" in done.stderr
    assert "only you can get it" in done.stderr
    assert "3 of 4 could not be fetched" in done.stderr
    assert done.stderr.endswith("  bad: get bad\n  lost: get lost\n  java: get java\n")


def test_a_dry_run_only_says_what_it_would_do():
    done = prefetch("wants[things=(bad,corpus)]", "--dry-run")
    assert done.exit_code == 0
    assert done.stdout == "[1/2] bad: get bad\n[2/2] corpus: get corpus\n"
    assert ASKED == []


def test_all_is_every_strategy_with_its_defaults(monkeypatch):
    kept = {
        name: target for name, target in registry._registered.items() if name in ("none", "best-of-k", "+", "wants")
    }
    monkeypatch.setattr(registry, "_registered", kept)
    assert prefetch("all").exit_code == 0
    assert ASKED == ["corpus"]
    assert "nothing to get: every strategy" in prefetch("all").stdout


def test_a_strategy_inside_another_counts():
    @dataclass
    class Rewrites(Wants, Rewriter):
        """Rewrites."""

    registry._registered["rewrites"] = Rewrites
    assert prefetch("best-of-k(rewrites)").exit_code == 0
    assert prefetch("none+wants[things=(more)]").exit_code == 0
    assert ASKED == ["corpus", "more"]


def test_a_misspelt_strategy_is_a_wrong_request():
    done = prefetch("want")
    assert done.exit_code == 2
    assert "did you mean 'wants'" in done.stderr
    assert CliRunner().invoke(main, ["prefetch"]).exit_code == 2
