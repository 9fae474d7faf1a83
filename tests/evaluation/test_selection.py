from __future__ import annotations

import numpy as np
import pytest

from bench.errors import UsageError
from bench.evaluation.selection import SELECTIONS, selection


@pytest.mark.parametrize("n", [2, 7, 100])
def test_split_dev_chooses_on_one_half_and_reports_the_other(n):
    rule = selection("split-dev")
    chooses, reports = rule.rows_to_choose(n), rule.rows_to_report(n)
    assert sorted([*chooses, *reports]) == list(range(n))
    assert len(chooses) - len(reports) in (0, 1)
    assert np.array_equal(chooses, rule.rows_to_choose(n))
    # Shuffled, as some dev sets come sorted by source.
    if n == 100:
        assert not np.array_equal(chooses, np.arange(0, 100, 2))


def test_the_other_rules_report_all_rows_and_only_best_dev_is_optimistic():
    assert selection("last").rows_to_choose(5) is None
    assert selection("best-dev").rows_to_choose(5).tolist() == [0, 1, 2, 3, 4]
    for name in ("last", "best-dev"):
        assert selection(name).rows_to_report(5).tolist() == [0, 1, 2, 3, 4]
    assert [name for name, rule in SELECTIONS.items() if rule.optimistic] == ["best-dev"]


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(UsageError, match="unknown selection rule 'bestdev'; did you mean 'best-dev'"):
        selection("bestdev")
