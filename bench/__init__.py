"""Which way of perturbing text makes knowledge distillation better? The public surface of the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.cli.from_python import run
    from bench.data.tasks import Example, Task
    from bench.options import option
    from bench.registry import register
    from bench.reporting.leaderboard import leaderboard
    from bench.reporting.runs import compare, predictions, results
    from bench.resources import Resource
    from bench.rewriter import Attacked, Context, Rewriter, Writer
    from bench.strategy import AdversaryGain, Batch, Models, Step, Strategy, View
    from bench.strength import Strength
    from bench.text_strategy import TextStrategy

__version__ = "0.2.0"
__all__ = [
    "AdversaryGain",
    "Attacked",
    "Batch",
    "Context",
    "Example",
    "Models",
    "Resource",
    "Rewriter",
    "Step",
    "Strategy",
    "Strength",
    "Task",
    "TextStrategy",
    "View",
    "Writer",
    "compare",
    "leaderboard",
    "option",
    "predictions",
    "register",
    "results",
    "run",
]

_HOME = {
    "compare": "bench.reporting.runs",
    "leaderboard": "bench.reporting.leaderboard",
    "predictions": "bench.reporting.runs",
    "results": "bench.reporting.runs",
    "run": "bench.cli.from_python",
    "Example": "bench.data.tasks",
    "Task": "bench.data.tasks",
    "option": "bench.options",
    "register": "bench.registry",
    "Resource": "bench.resources",
    "Strength": "bench.strength",
    "Attacked": "bench.rewriter",
    "Context": "bench.rewriter",
    "Rewriter": "bench.rewriter",
    "Writer": "bench.rewriter",
    "TextStrategy": "bench.text_strategy",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``bench --help`` loads nothing heavy."""
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME.get(name, "bench.strategy")), name)


def __dir__() -> list[str]:
    """Return the public names, which a notebook offers to complete."""
    return [*__all__, "__version__"]
