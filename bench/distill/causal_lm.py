"""A causal language model that learns a task's rows and writes new ones: texts one after another, each with its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, GenerationConfig, StoppingCriteria, StoppingCriteriaList

from bench.data.encode import Encoded
from bench.distill.generator import MaskedLMTraining, held_out
from bench.distill.loop import EDITION
from bench.files import digest
from bench.locks import missing
from bench.models.accelerator import PreciseAccelerator
from bench.models.inputs import Inputs, accepted, longest
from bench.models.load import content_hash, explained, load_tokenizer, locate, seeded
from bench.observer import Observer
from bench.settings import Generator

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Row = tuple[str, ...]


class CausalLMTraining(MaskedLMTraining):
    """A causal LM and its ``texts``: trained to predict every token from those before it."""

    name = "causal language model"
    for_fewer = "the option passes"

    def _predicted(self, inputs: Inputs, rng: torch.Generator) -> torch.Tensor:
        predicted = inputs["attention_mask"].bool()
        predicted[:, 0] = False
        return predicted

    def _loss(self, inputs: Inputs, rng: torch.Generator, reduction: str = "mean") -> torch.Tensor | None:
        predicted = self._predicted(inputs, rng)[:, 1:]
        with self.accelerator.autocast():
            logits = self.model(**accepted(self.model, inputs)).logits[:, :-1]
        return F.cross_entropy(logits[predicted].float(), inputs["input_ids"][:, 1:][predicted], reduction=reduction)


def load_causal_lm(where: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the causal LM at ``where``, a folder or a name on the hub, and its tokenizer; BenchError without one."""
    where = locate(where)
    with explained(where) as source:
        model = AutoModelForCausalLM.from_pretrained(source, trust_remote_code=False).float()
    return model, load_tokenizer(where)


def train_causal_lm(
    where: str, rows: Sequence[Row], settings: Generator, most: int, device: str, home: Path, observer: Observer
) -> str:
    """Return the folder, in ``home``, of the LM at ``where`` trained on ``rows``: once, then it is found there.

    ``most`` is the number of tokens that a row is cut at. Interrupted training goes on from its checkpoint.
    """
    model, tokenizer = load_causal_lm(where)
    rows = sorted(set(rows))
    folder = home / digest(EDITION, content_hash(model), rows, tokenizer.get_vocab(), settings, most)
    with missing(folder, observer, "the language model") as to_make:
        if to_make:
            accelerator = PreciseAccelerator(cpu=device == "cpu")
            encoded = _encoded(rows, tokenizer, min(most, longest(model, tokenizer)))
            training = CausalLMTraining(model.to(accelerator.device), tokenizer, encoded, settings, accelerator)
            training.run(*held_out(rows), folder, observer)
    return str(folder)


def _encoded(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, most: int) -> Encoded:
    """Return ``rows`` as the LM reads them: a start, then each text with the end token behind it."""
    start, end = _ends(tokenizer)
    whole = [[start, *(i for text in row for i in [*_pieces(tokenizer, text), end])] for row in rows]
    ids = [row[:most] for row in whole]
    return Encoded(
        ids=np.array([i for row in ids for i in row], np.int32),
        types=None,
        offsets=np.cumsum([0, *map(len, ids)]),
        labels=np.full(len(ids), -1),
        example_ids=np.arange(len(ids)),
        pad_id=end,
        truncated=sum(len(row) > most for row in whole),
    )


def _pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _ends(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Return the tokens that a row starts with and that a text ends with."""
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end
    return start, end


class _AllTexts(StoppingCriteria):
    """A row is finished with the end of its last text."""

    def __init__(self, end: int, texts: int) -> None:
        self.end, self.texts = end, texts

    def __call__(self, input_ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
        return (input_ids[:, 1:] == self.end).sum(dim=1) >= self.texts


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: int,
    count: int,
    seed: int,
    *,
    most: int,
    temperature: float,
    top_p: float,
) -> list[Row | None]:
    """Return ``count`` rows of ``texts`` texts drawn from ``model``; None where one is empty or was not finished.

    ``most`` is the number of tokens of a row. A function of the model, the numbers given and the ``seed``.
    """
    start, end = _ends(tokenizer)
    prompt = torch.full((count, 1), start, device=model.device)
    # In the place of the model's own, whose end token would be the end of a row.
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_p=top_p,
        top_k=0,
        max_new_tokens=min(most, longest(model, tokenizer)) - 1,
        # Nothing is padded; the start's own token would be taken for padding.
        pad_token_id=0 if start else 1,
    )
    with seeded(seed), torch.inference_mode():
        drawn = model.eval().generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            stopping_criteria=StoppingCriteriaList([_AllTexts(end, texts)]),
        )
    rows: list[Row | None] = []
    for ids in drawn[:, 1:].tolist():
        parts: list[list[int]] = [[]]
        for i in ids:
            parts.append([]) if i == end else parts[-1].append(i)
        decoded = (str(tokenizer.decode(part, skip_special_tokens=True)) for part in parts[:texts])
        row = tuple(" ".join(text.split()) for text in decoded)
        rows.append(row if len(parts) > texts and all(row) else None)
    return rows
