"""The mini suite: nine generated tasks in the shape of GLUE's, so that all runs without a download."""

from bench.data.mini.source import MiniSource

__all__ = ["MiniSource"]
