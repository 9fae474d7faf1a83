"""Which way of perturbing text makes knowledge distillation better? The public surface of the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.data.tasks import Example, Task
    from bench.options import option
    from bench.registry import register
    from bench.resources import Resource
    from bench.rewriter import TextStrategy
    from bench.strategy import Attacked, Batch, Context, Models, Step, Strategy, View

__version__ = "0.1.0"
__all__ = [
    "Attacked",
    "Batch",
    "Context",
    "Example",
    "Models",
    "Resource",
    "Step",
    "Strategy",
    "Task",
    "TextStrategy",
    "View",
    "option",
    "register",
]

_HOME = {
    "Example": "bench.data.tasks",
    "Task": "bench.data.tasks",
    "option": "bench.options",
    "register": "bench.registry",
    "Resource": "bench.resources",
    "TextStrategy": "bench.rewriter",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``bench --help`` loads nothing heavy."""
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME.get(name, "bench.strategy")), name)
