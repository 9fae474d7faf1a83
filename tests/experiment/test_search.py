"""What is drawn in the trials of a search: the same for the same seed, and the same strengths for all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from bench import Strategy, option, registry
from bench.errors import UsageError
from bench.experiment.search import searched, trial
from bench.registry import load
from bench.spec import StrategySpec
from bench.strength import Dial

PARSE = StrategySpec.parse


@dataclass
class Ranges(Strategy):
    """Has one of each kind of range."""

    rate: float = option(0.5, "the share", above=0, at_most=1, strength=True)
    lr: float | None = option(None, "the rate", above=0, search=(1e-6, 1e-2, "log"))
    steps: int = option(3, "the number", at_least=1, search=(2, 9))
    kind: str = option("a", "the kind", search=["a", "b", "c"])
    plain: float = 0.0


@pytest.fixture
def ranges(monkeypatch):
    monkeypatch.setitem(registry._registered, "r", Ranges)
    return PARSE("r")


def test_the_first_trial_is_as_shipped_and_the_others_are_drawn_within_their_ranges(ranges):
    assert searched(ranges) == ["strength", "lr", "steps", "kind"]
    assert trial(ranges, 0, 0) == ranges
    drawn = [trial(ranges, 0, n).create() for n in range(1, 200)]
    assert all(0.05 <= one.rate <= 0.5 and 1e-6 <= one.lr <= 1e-2 and 2 <= one.steps <= 9 for one in drawn)
    assert {one.kind for one in drawn} == {"a", "b", "c"}
    assert {one.steps for one in drawn} == set(range(2, 10))
    assert {one.plain for one in drawn} == {0.0}
    # Half of them below the middle of the logarithms.
    assert sum(math.log10(one.lr) < -4 for one in drawn) == pytest.approx(100, abs=30)


def test_a_draw_is_a_function_of_seed_and_trial(ranges):
    one = [str(trial(ranges, 3, n)) for n in range(6)]
    assert one == [str(trial(ranges, 3, n)) for n in reversed(range(6))][::-1]
    assert len(set(one)) == 6
    assert one[1:] != [str(trial(ranges, 4, n)) for n in range(1, 6)]


def test_a_trial_has_one_strength_for_all_strategies():
    for n in range(1, 5):
        shares = set()
        for name in ("mlm", "mate-kd", "mlm-words", "token-cutoff"):
            strategy = trial(PARSE(name), 0, n).create()
            shares.add(getattr(strategy, Dial.of(load(name)).option))
        assert len(shares) == 1


def test_what_is_given_stays_and_strategies_inside_are_searched_too():
    assert searched(PARSE("eda[alpha=0.2]")) == []
    assert searched(PARSE("none")) == searched(PARSE("none+finetune")) == []
    assert searched(PARSE("mate-kd+eda")) == ["mate-kd.strength", "mate-kd.generator_lr", "eda.strength"]
    assert searched(PARSE("best-of-k(eda[alpha=0.2])[candidates=4]").as_shipped()) == ["candidates", "eda.strength"]
    spec = PARSE("best-of-k(eda)[k=2]")
    assert searched(spec) == ["candidates", "eda.strength"]
    drawn = [trial(spec, 0, n).create() for n in range(1, 30)]
    assert {one.k for one in drawn} == {2}
    assert {one.candidates for one in drawn} == {2, 4, 8}
    assert len({one.inner.alpha for one in drawn}) > 20


def test_values_that_are_refused_together_are_drawn_again_and_not_for_ever():
    drawn = [trial(PARSE("best-of-k(eda)[pool=5]"), 0, n).create() for n in range(1, 12)]
    assert {one.candidates for one in drawn} == {2, 4}
    with pytest.raises(UsageError, match=r"refuses 50 draws of candidates, eda\.strength"):
        # Of 2, 4 and 8 none is 3.
        trial(StrategySpec("best-of-k", (("k", 3), ("pool", 3)), (PARSE("eda"),)), 0, 1)
