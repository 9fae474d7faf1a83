"""Where a result came from: code, packages, hardware."""

from __future__ import annotations

import platform
import subprocess
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from bench import __version__
from bench.code import version
from bench.startup import processes

_PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "evaluate", "accelerate", "numpy", "scikit-learn")
COMMAND: ContextVar[str | None] = ContextVar("COMMAND", default=None)
"""The command line that what runs now stands for, where it is not this process's own."""


@cache
def provenance() -> dict[str, Any]:
    """Return commit and dirty flag (None outside a checkout), package versions, hardware, Python."""
    # Installed into an environment inside somebody else's repository, this file is not under its version control.
    is_ours = _git("ls-files", "--error-unmatch", Path(__file__).name) is not None
    changes = _git("status", "--porcelain") if is_ours else None
    return {
        "bench": __version__,
        "git_commit": _git("rev-parse", "HEAD") if is_ours else None,
        "git_dirty": None if changes is None else bool(changes),
        "packages": {name: installed for name in _PACKAGES if (installed := version(name))},
        "hardware": _hardware(),
        "python": platform.python_version(),
    }


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _hardware() -> str:
    import torch

    together = f", {processes()} processes together" if processes() > 1 else ""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name() + together
    threads, capability = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} CPU, {threads} threads, {capability}{together}"
