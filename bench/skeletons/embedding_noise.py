"""A strategy that perturbs each batch: replace what views does by your idea."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import Batch, Models, Strategy, View, option


@dataclass
class EmbeddingNoise(Strategy):
    """Gaussian noise on the student's word embeddings; the target is what the teacher says of the clean text."""

    sigma: float = option(0.02, "the standard deviation of the noise", above=0)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        """Yield the perturbed forms of the batch; give a View ``teacher`` inputs to ask the teacher about them too."""
        import torch

        words = models.student.get_input_embeddings()(batch.inputs["input_ids"])
        # Only from models.rng, so that a run that was cut off goes on exactly as if it had not been.
        noise = torch.randn(words.shape, generator=models.rng, device=words.device)
        inputs = {**batch.inputs, "inputs_embeds": words + self.sigma * noise}
        del inputs["input_ids"]
        yield View(student=inputs)
