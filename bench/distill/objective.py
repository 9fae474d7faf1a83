"""What a student update minimises at each point of a run: plain distillation, Annealing-KD or Continuation-KD.

A recipe is the harness's, not a strategy's: every strategy can be run under each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from bench.distill.losses import divergence
from bench.settings import Recipe


@dataclass(frozen=True)
class Objective:
    """The loss of one student update at ``progress``, the share of all updates already made.

    ``recipe.method`` "kd" is w·CE(y, S) + w·D(T, S) + w·D(T', S') throughout. "annealing" (Jafari et al., EACL
    2021, arXiv 2104.07163): in the first ``recipe.first_phase`` of the updates |S - phi T|², without labels, phi
    rising to 1 in ``recipe.levels`` steps; then the labels alone. With MATE-KD's views that is Combined-KD (Li et
    al., 2021, arXiv 2109.05696). "continuation" (Jafari et al., EMNLP Findings 2022, arXiv 2212.05998): psi·CE +
    (1 - psi)·max(0, |S - phi T|² - margin·phi), phi as above; psi rises linearly from 0 to 1 here.

    Without a teacher there are only labels, under every recipe. The papers train their two phases apart, each with a
    learning rate of its own, the second from the best student of the first; here both are one run, under one schedule
    and one optimiser's state.
    """

    recipe: Recipe
    progress: float
    is_regression: bool

    @property
    def labels_only(self) -> bool:
        """Whether neither teacher nor views count any more: the second phase of Annealing-KD."""
        return self.recipe.method == "annealing" and self.progress >= self.recipe.first_phase

    @property
    def phi(self) -> float:
        """What the teacher's logits are multiplied by: 1/levels, 2/levels, … 1."""
        level = math.floor(self.progress / self.recipe.first_phase * self.recipe.levels) + 1
        return min(level / self.recipe.levels, 1.0)

    def weights(self, *, teacher: bool, views: bool) -> tuple[float, float, float]:
        """Return the weights of labels, teacher and views; they sum to one over those present."""
        labels, distilled, perturbed = self.recipe.weights
        if not teacher or self.labels_only:
            # Labels are always there: without a teacher they are learned from, whatever their weight beside one.
            return 1.0, 0.0, 0.0
        if self.recipe.method != "kd":
            labels = 0.0
            distilled = distilled or float(not views or not perturbed)
        total = labels + distilled + perturbed * views
        psi = self.progress if self.recipe.method == "continuation" else 0.0
        rest = (1 - psi) / total
        return psi + labels * rest, distilled * rest, perturbed * views * rest

    def distance(self, target: torch.Tensor, student: torch.Tensor, *, own_target: bool = False) -> torch.Tensor:
        """Return how far the student's logits [B, C] are from ``target`` [B, C], a mean over rows.

        The target is the teacher's logits, which annealing and continuation multiply by ``phi``; the student's own
        (``own_target``) are held to as they are, without the margin, which is for what the teacher gets wrong.
        """
        if self.recipe.method == "kd":
            return divergence(target, student, is_regression=self.is_regression, temperature=self.recipe.temperature)
        phi, margin = (1.0, 0.0) if own_target else (self.phi, self.recipe.margin * self.phi)
        squared = (student - phi * target).square()
        if self.recipe.method == "annealing":
            return squared.mean()
        return (squared.sum(dim=1) - margin).clamp(min=0).mean()
