"""Token cutoff: some words are erased, and the student must still agree with the teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import Batch, Models, Strategy, View, option
from bench.text_strategy import SIDE, Side, changeable


@dataclass
class TokenCutoff(Strategy):
    """Word embeddings set to zero at random tokens (Shen et al., 2020, arXiv 2009.13818).

    Each ordinary token is erased with probability ``rate`` from the student's view; the target is what the
    teacher says of the whole text.
    """

    rate: float = option(0.15, "the share of the tokens erased", above=0, below=1, strength=True)
    side: Side = option("both", SIDE)

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        from bench.models.masked_lm import draw_mask

        texts = changeable(models.task, self.side)
        erased = draw_mask(batch.inputs, models.tokenizer, self.rate, models.rng, texts)
        words = models.student.get_input_embeddings()(batch.inputs["input_ids"])
        inputs = {**batch.inputs, "inputs_embeds": words.masked_fill(erased.unsqueeze(2), 0.0)}
        del inputs["input_ids"]
        yield View(student=inputs)
