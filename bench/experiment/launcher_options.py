"""The options of launchers, as they stand in the brackets of ``--launcher``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.options import Options, option


@dataclass(frozen=True)
class ProcessesOptions(Options):
    """Of ``--launcher processes`` there are none: cells share the cores of this machine."""


@dataclass(frozen=True)
class RayOptions(Options):
    """What stands in brackets behind ``--launcher ray``."""

    address: str | None = option(
        None, "the cluster's, HOST:PORT or auto; by default RAY_ADDRESS, else a cluster on this machine"
    )
    cpus: int = option(1, "cores, and threads, of a cell", at_least=1)
    gpus: float | None = option(
        None, "GPUs of a cell, 0.5 for two cells on one; by default 1 if there are any", at_least=0
    )


@dataclass(frozen=True)
class SlurmOptions(Options):
    """What stands in brackets behind ``--launcher slurm``."""

    partition: str | None = option(None, "the partition; by default the cluster's own")
    account: str | None = option(None, "the account that is charged")
    qos: str | None = option(None, "the quality of service")
    minutes: int = option(240, "the time of a job; then it is queued again, and goes on", at_least=5)
    requeues: int = option(20, "how often that may be", at_least=0)
    cpus: int = option(1, "cores, and threads, of a job", at_least=1)
    gpus: int = option(0, "GPUs of a job", at_least=0)
    memory_gb: float | None = option(None, "memory of a job; by default the cluster's own", above=0)
    cluster: Literal["slurm", "local"] = option("slurm", "where jobs run; local: on this machine, to try it")


OPTIONS: dict[str, type[Options]] = {"processes": ProcessesOptions, "ray": RayOptions, "slurm": SlurmOptions}
