"""Data-parallel runs: the first process does all that one alone would, and calls the others in to train with it.

``accelerate launch`` or ``torchrun`` starts the same command in every process. The others plan the same cells, and then
wait to be called: to a teacher's training, or to a student's, for which they find in the cache what the first has made.
They write nothing and say nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.startup import leads, processes

if TYPE_CHECKING:
    from bench.experiment.parts import Parts

# For so long the others may have nothing to do: while the first trains a generator, or rewrites texts.
_PATIENCE = timedelta(days=7)
# All processes get to an error that all have within this time.
_REGROUP = timedelta(seconds=30)


class Followers:
    """The other processes of this command, as the first one sees them, and how they hear of it."""

    def __init__(self) -> None:
        self.parts: list[Parts] = []
        """What cells are assembled from, in the order in which every process made them."""
        self._are_away = False

    @cached_property
    def _group(self) -> Any:
        from torch import distributed

        # accelerate has connected them when it is asked for the first time.
        if self.parts[0].accelerator.num_processes != processes():
            raise BenchError(f"accelerate does not connect {processes()} processes on this kind of device")
        # Not the group that adds up gradients, for which minutes are too long.
        return distributed.new_group(backend="gloo", timeout=_PATIENCE)

    @contextmanager
    def together(self, *call: Any) -> Iterator[None]:
        """Call the others, if there are any, to what comes in the block; after an error in it they must ``regroup``."""
        if processes() > 1 and leads():
            self._tell(call)
            self._are_away = True
        yield
        self._are_away = False

    def dismiss(self) -> None:
        """Tell the others that there is no more to do."""
        if processes() > 1:
            self._tell(None)

    def _tell(self, call: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        """Return the first process's ``call``, in every process."""
        from torch import distributed

        sent = [call]
        distributed.broadcast_object_list(sent, group=self._group)
        return sent[0]

    def regroup(self) -> None:
        """Return when all processes are back from what has failed; BenchError where one of them does not come back."""
        if not self._are_away:
            return
        from torch import distributed

        try:
            distributed.monitored_barrier(self._group, timeout=_REGROUP)
        except RuntimeError as error:
            raise BenchError(
                f"of {processes()} processes not all came to the same end; the same command goes on from the last "
                f"checkpoint"
            ) from error
        self._are_away = False

    @contextmanager
    def called(self) -> Iterator[tuple[Any, ...] | None]:
        """Yield the first process's next call, in another one, for what it calls to; None: there is no more to do.

        An error there that this process alone has is raised again, what all have the first one records.
        """
        call = self._tell(None)
        self._are_away = call is not None
        try:
            yield call
        except Exception as error:  # noqa: BLE001 - it is the first process's to tell
            try:
                self.regroup()
            except BenchError as alone:
                here = f"process {os.environ['RANK']}"
                raise BenchError(f"{type(error).__name__} in {here}: {error}; {alone}") from error
        self._are_away = False
