"""What launchers refuse before they start anything."""

from __future__ import annotations

import re

import pytest

from bench.errors import UsageError
from bench.experiment.launcher_options import RayOptions
from bench.experiment.ray_cluster import _places


def test_a_cell_that_never_fits_the_cluster_started_here_is_refused_and_one_that_may_fit_a_given_one_waits() -> None:
    here = {"CPU": 4.0, "GPU": 1.0}
    assert _places(RayOptions(cpus=2), here, may_grow=False) == (1, 1.0)  # as many as have a GPU
    assert _places(RayOptions(cpus=1, gpus=0), here, may_grow=False) == (4, 0)
    assert _places(RayOptions(cpus=4), {"CPU": 4.0}, may_grow=False) == (1, 0.0)
    assert _places(RayOptions(cpus=64, gpus=8), here, may_grow=True) == (1, 8)
    for asked, words in ((RayOptions(cpus=5), "5 cores, .* has 4: .*cpus=4"), (RayOptions(gpus=2), "2 GPUs, .* has 1")):
        with pytest.raises(UsageError, match=re.compile(words)):
            _places(asked, here, may_grow=False)
