"""What all processes but the first do in a data-parallel run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.data.source import Source
from bench.experiment.assembly import assembled
from bench.experiment.followers import Followers
from bench.experiment.grid import Cell
from bench.experiment.parts import Parts
from bench.observer import Silent
from bench.settings import Settings


def follow(grids: Iterable[tuple[Settings, Source, Sequence[Cell]]], results: Path) -> None:
    """Take part in the training that the first process calls for, of cells in ``grids``, until there is no more."""
    followers = Followers()
    cells: dict[str, tuple[Cell, Parts]] = {}
    for settings, source, of_grid in grids:
        parts = Parts(settings, source, results, Silent(), followers=followers)
        cells |= {cell.id: (cell, parts) for cell in of_grid}
    is_over = False
    while not is_over:
        with followers.called() as call:
            match call:
                case None:
                    is_over = True
                case ("teacher", number, task):
                    followers.parts[number].train_teacher_along(task)
                case ("student", id):
                    assembled(*cells[id], results, Silent()).distil()
