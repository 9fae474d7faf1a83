"""The processes of a data-parallel run, of which each computes a part of the rows of every batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Ranks:
    """This process, ``number`` (from 0), of ``count``, as ``accelerate launch`` or ``torchrun`` started them.

    All of them hold the same models, batches and streams of random numbers, and go through the same updates; they
    differ in the rows that they compute, and what these come to is added up. So a run has the numbers that one process
    gets in as many micro-batches, but for the order in which floating-point numbers are added.
    """

    number: int = 0
    count: int = 1

    @classmethod
    def of(cls, accelerator: Any) -> Ranks:
        """Return the processes that ``accelerator`` knows of."""
        return cls(accelerator.process_index, accelerator.num_processes)

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and talks to people."""
        return self.number == 0

    def own(self, parts: int) -> Iterator[tuple[int, float]]:
        """Yield which of the ``parts`` of a batch this process computes, each with the factor 1.

        One that would have none, of a batch with fewer rows than there are processes, computes the first with factor 0:
        its gradients are then of the same parameters as all others'.
        """
        own = self.rows(parts)
        yield from ((number, 1.0) for number in range(own.start, own.stop))
        if own.start == own.stop:
            yield 0, 0.0

    def rows(self, rows: int) -> slice:
        """Return which of ``rows`` rows this process answers where no gradient is asked for; maybe none."""
        return slice(self.number * rows // self.count, (self.number + 1) * rows // self.count)

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of all processes' ``tensor``, which is overwritten with it."""
        if self.count > 1:
            from torch import distributed

            distributed.all_reduce(tensor)
        return tensor

    def add_up(self, parameters: Iterable[torch.Tensor]) -> None:
        """Make the gradient of each of ``parameters`` the sum of all processes'."""
        if self.count == 1:
            return
        import torch

        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        whole = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, whole.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def highest(self, number: int, device: torch.device) -> int:
        """Return the largest of all processes' ``number``."""
        if self.count == 1:
            return number
        import torch
        from torch import distributed

        shared = torch.tensor(number, device=device)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return int(shared)

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.count > 1:
            from torch import distributed

            distributed.barrier()


ALONE = Ranks()
