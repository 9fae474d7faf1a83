"""Where cells run, as ``--launcher``, ``--jobs`` and ``--timeout`` say; nothing heavy is imported before they do."""

from __future__ import annotations

import importlib.util
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bench.brackets import options_in
from bench.errors import UsageError, quoted, unknown
from bench.experiment.launcher_options import OPTIONS, ProcessesOptions, RayOptions, SlurmOptions
from bench.options import Options, build

if TYPE_CHECKING:
    from bench.experiment.launch import Launcher


@dataclass(frozen=True)
class Launching:
    """The launcher that ``text`` names (``ray[cpus=2]``), of ``jobs`` cells at a time.

    A cell whose process says nothing for ``silence`` seconds fails. UsageError where ``text`` is no launcher.
    """

    text: str = "processes"
    jobs: int | None = None
    silence: float | None = None

    def __post_init__(self) -> None:
        if self.silence is not None and not math.isfinite(self.silence):
            raise UsageError(f"--timeout is a number of seconds, not {self.silence}")
        if isinstance(self.options, SlurmOptions) and self.silence is not None:
            raise UsageError("--timeout does not go with --launcher slurm: give a time, 'slurm[minutes=60]'")
        library = {RayOptions: "ray", SlurmOptions: "submitit"}.get(type(self.options))
        if library and importlib.util.find_spec(library) is None:
            name = self.text.partition("[")[0].strip()
            raise UsageError(f"--launcher {name} needs {library}: pip install 'distil-augment-bench[{name}]'")

    @cached_property
    def options(self) -> Options:
        """The options in brackets."""
        match = re.fullmatch(r"([^\[\]]+)(\[.*\])?", self.text.strip())
        if match is None:
            raise UsageError(f"{quoted(self.text)} is no launcher: write one of {', '.join(OPTIONS)}, then [options]")
        name = match[1].strip()
        if name not in OPTIONS:
            raise unknown("launcher", name, OPTIONS)
        return build(OPTIONS[name], options_in(self.text, match[2] or "[]"), name)

    @property
    def is_here(self) -> bool:
        """Whether cells run on this machine, so that a few updates here tell how long they take."""
        return type(self.options) is ProcessesOptions

    @property
    def at_once(self) -> int:
        """How many cells run at a time, as far as that is known before."""
        return self.jobs or 1

    def open(self) -> Launcher:
        """Return the launcher."""
        if isinstance(self.options, RayOptions):
            from bench.experiment.ray_cluster import RayCluster

            return RayCluster(self.options, self.jobs, self.silence)
        if isinstance(self.options, SlurmOptions):
            from bench.experiment.slurm import Slurm

            return Slurm(self.options, self.jobs)
        from bench.experiment.launch import in_process
        from bench.experiment.processes import Processes

        # One cell at a time is run by this process, which cannot watch itself.
        return in_process if self.at_once == 1 and self.silence is None else Processes(self.at_once, self.silence)
