"""Fixtures of tests of commands."""

from __future__ import annotations

import pytest
from kept_students import QUICK, bench


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Results of two strategies on a pair of texts, a score and a single text, with students; and the command's."""
    folder = tmp_path_factory.mktemp("made") / "results"
    done = bench("run", *QUICK, "--strategy", "none,clean-twice", "--tasks", "rte,stsb,sst2", "--results", folder)
    assert done.exit_code == 0, done.output
    return folder, done
