"""Which trial is chosen, of scores made up."""

from __future__ import annotations

import pytest

from bench.data.held_out import HeldOut
from bench.data.mini import MiniSource
from bench.errors import UsageError
from bench.experiment.grid import make_grid
from bench.experiment.tuning import Search, as_tuned, keep, searchable
from bench.settings import Settings
from bench.spec import StrategySpec

SEARCH = Search(trials=4, seed=0, training_seeds=(0, 1))
AEDA = StrategySpec.parse("aeda")


@pytest.fixture(scope="module")
def whole():
    source = MiniSource(seed=0)
    (cell,) = make_grid(Settings("mini"), source, [source.tasks["rte"]], [AEDA], [0])
    return cell


def record(strategy, seed, value):
    status = "failed" if value is None else "done"
    main = {"metric": "accuracy", "value": value}
    return {"strategy": str(strategy), "seed": seed, "status": status, "main": main, "data": {"rows": {"dev": 200}}}


def chosen(whole, scores):
    """What is chosen where trial n scores ``scores[n]``, a pair of numbers."""
    trials = SEARCH.of(AEDA)
    runs = [record(trials[n], seed, value) for n, pair in enumerate(scores) for seed, value in enumerate(pair)]
    return SEARCH.choose(whole, runs)


def test_the_best_mean_over_the_training_seeds_is_chosen_and_of_equals_the_first(whole):
    trials = list(map(str, SEARCH.of(AEDA)))
    found = chosen(whole, [(0.5, 0.5), (0.9, 0.2), (0.7, 0.6), (0.6, 0.7)])
    assert (found.chosen, found.tuned.score, found.tuned.as_shipped) == (trials[2], pytest.approx(0.65), 0.5)
    assert [one.score for one in found.tried] == pytest.approx([0.5, 0.55, 0.65, 0.65])
    assert (found.tuned.trials, found.tuned.training_seeds, found.tuned.held_out) == (4, (0, 1), 200)
    assert chosen(whole, [(0.5, 0.5)] * 4).chosen == "aeda"


def test_a_trial_that_failed_under_one_seed_is_not_chosen(whole):
    found = chosen(whole, [(0.5, None), (0.4, 0.4), (None, 0.9), (0.3, 0.3)])
    assert found.chosen == str(SEARCH.of(AEDA)[1])
    assert (found.tuned.score, found.tuned.as_shipped) == (0.4, None)
    assert chosen(whole, [(None, None)] * 4) is None


def test_a_run_is_tuned_by_what_was_kept_and_is_another_run_than_one_with_these_options(whole, tmp_path):
    kept = chosen(whole, [(0.5, 0.5), (0.9, 0.9), (0.1, 0.1), (0.1, 0.1)])
    keep(kept, tmp_path)
    ((cell,), notes) = as_tuned([whole], tmp_path)
    assert (str(cell.strategy), cell.tuned, notes) == (kept.chosen, kept.tuned, [])
    source = MiniSource(seed=0)
    (same,) = make_grid(Settings("mini"), source, [source.tasks["rte"]], [cell.strategy], [0])
    assert (same.signature, same.id != cell.id) == (cell.signature, True)


def test_what_was_not_tuned_is_an_error_that_says_what_to_type(whole, tmp_path):
    with pytest.raises(UsageError, match="aeda is not tuned on rte; type: bench tune --preset mini --strategy 'aeda'"):
        as_tuned([whole], tmp_path)


def test_a_search_covers_every_strategy_with_the_same_trials_on_rows_without_those_held_out():
    source = HeldOut(MiniSource(seed=0))
    specs, notes = searchable([StrategySpec.parse(name) for name in ("none", "aeda", "mlm")])
    assert notes == ["without a range to search, and left out: none"]
    cells = SEARCH.cells(Settings("mini"), source, [source.tasks["rte"], source.tasks["wnli"]], specs)
    assert len(cells) == len({cell.id for cell in cells}) == 2 * 4 * 2 * 2
    whole_print = MiniSource(seed=0).fingerprint("rte")
    assert all(cell.fingerprint != whole_print for cell in cells)
