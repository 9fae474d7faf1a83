"""Virtual data augmentation: at every token a mixture of word embeddings, weighted by a masked LM and by noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import Batch, Models, Strategy, View, option
from bench.text_strategy import SIDE, Side, changeable


@dataclass
class VDA(Strategy):
    """Word embeddings mixed as a masked LM and noise say (VDA, Zhou et al., EMNLP 2021, arXiv 2109.05793).

    At each chosen token e' = sum over words v of softmax(z + ``sigma`` * noise)[v] * e[v]: z are the logits of the
    masked LM, which reads the whole text without a mask, as in the authors' code; the noise is Gaussian, a number for
    each word of the vocabulary and each token, drawn anew for every batch. Teacher and student read the same mixture,
    each of its own word embeddings; the student's learn from it, and no gradient reaches the masked LM. It is the soft
    form of ``mlm``, and the masked LM is the preset's generator.

    Unlike there: the authors' code divides z by its sum over the vocabulary before it adds noise of deviation 0.05,
    which leaves numbers of the size of 1/V, so that the mixture follows the noise and hardly the model. Here the noise
    is added to z itself, and the default of ``sigma`` is our own. They mix at all positions; here tokens that the
    tokenizer adds keep their embeddings, padding too, and markup has no share in a mixture. They have no teacher: the
    student's answers to the clean and to the mixed text are drawn together by KL both ways, where here the student is
    held to what the teacher says of the mixture. What the paper's own formulas say of these points was not at hand.
    """

    verified = (
        "the mixtures equal the equation worked out token by token; it departs from the authors' code where the "
        "description says so"
    )

    rate: float = option(1.0, "the share of the tokens replaced by a mixture", above=0, at_most=1, strength=True)
    sigma: float = option(
        1.0, "the standard deviation of the noise on the masked LM's logits", at_least=0, search=(0.1, 5.0, "log")
    )
    side: Side = option("both", SIDE)

    needs = ("teacher", "generator")

    def views(self, batch: Batch, models: Models) -> Iterator[View]:
        import torch

        from bench.models.masked_lm import draw_mask, word_logits

        assert models.teacher is not None
        assert models.generator is not None
        chosen = draw_mask(batch.inputs, models.tokenizer, self.rate, models.rng, changeable(models.task, self.side))
        with torch.no_grad(), models.evaluating("generator"):
            logits = word_logits(models, batch.inputs, chosen)
            noise = torch.randn(logits.shape, generator=models.rng, device=logits.device)
            shares = (logits + self.sigma * noise).softmax(dim=1)
        places = torch.nonzero(chosen, as_tuple=True)
        rest = {key: value for key, value in batch.inputs.items() if key != "input_ids"}

        def mixed(model) -> dict[str, torch.Tensor]:
            words = model.get_input_embeddings()
            # Checkpoints pad their embedding matrices; those rows are no words.
            mixtures = shares.to(words.weight.dtype) @ words.weight[: shares.shape[1]]
            return {**rest, "inputs_embeds": words(batch.inputs["input_ids"]).index_put(places, mixtures)}

        yield View(student=mixed(models.student), teacher=mixed(models.teacher))
