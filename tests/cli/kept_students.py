"""What tests of kept students share: the smallest runs there are."""

from __future__ import annotations

from click.testing import CliRunner

from bench.cli import main

QUICK = ("--quick", "--max-train", "64", "--set", "teacher.epochs=1", "--set", "recipe.epochs=1")


def bench(*arguments):
    """The result of a command."""
    return CliRunner().invoke(main, list(map(str, arguments)))
