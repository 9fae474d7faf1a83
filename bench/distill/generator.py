"""Making a masked language model of an encoder whose head is not trained, on the texts of the tasks at hand."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase

from bench.data.encode import Encoded, TokenBatchOrder, encode, join
from bench.data.tasks import Example
from bench.distill.checkpoint import Checkpoints
from bench.distill.loop import EDITION, learning_rate
from bench.errors import BenchError
from bench.files import digest, whole_folder
from bench.interrupts import Interrupts
from bench.locks import missing
from bench.models.inputs import Inputs, accepted
from bench.models.keep import save
from bench.models.load import content_hash, explained
from bench.models.masked_lm import draw_mask, gathered
from bench.models.streams import start_stream, stream_seed
from bench.observer import Observer, clock_time
from bench.settings import Generator

# One text in fifty is kept for the perplexity, five hundred at most.
_HELD_OUT_EVERY, _HELD_OUT_MOST = 50, 500
_CHECKPOINT_SECONDS = 120.0
# So many texts are turned into word pieces to tell how long training on all would take.
_SAMPLE = 1000


@dataclass(frozen=True)
class TrainedGenerator:
    """A masked LM, where it is cached, and its card: weights hash, perplexity on held-out text, cost."""

    model: PreTrainedModel
    home: Path | None
    card: dict[str, Any]


def train_generator(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[tuple[str, ...]],
    settings: Generator,
    max_length: int,
    accelerator: Any,
    cache: Path,
    observer: Observer,
) -> TrainedGenerator:
    """Return ``model`` trained to fill masked words of ``texts``, from ``cache`` if that was done before.

    Each masked token becomes [MASK], as MATE-KD masks, at ``settings.mask_rate`` (not BERT's 80/10/10 mix). Input and
    output embeddings are tied where the family ties them. Interrupted training resumes from its checkpoint.
    """
    texts = _distinct(texts)
    home = _home(model, tokenizer, texts, settings, max_length, cache)
    with missing(home, observer, "the generator") as to_make:
        if to_make:
            encoded = _encode(texts, tokenizer, max_length)
            training = MaskedLMTraining(model.to(accelerator.device), tokenizer, encoded, settings, accelerator)
            training.run(*held_out(texts), home, observer)
    with explained(str(home)):
        trained = AutoModelForMaskedLM.from_pretrained(home, trust_remote_code=False).float()
    return TrainedGenerator(trained, home, json.loads((home / "card.json").read_text()))


def seconds_to_train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[tuple[str, ...]],
    settings: Generator,
    max_length: int,
    accelerator: Any,
    cache: Path,
) -> float | None:
    """Return about how long ``train_generator`` would take, from two batches of a sample; None where it is cached."""
    texts = _distinct(texts)
    if _home(model, tokenizer, texts, settings, max_length, cache).is_dir():
        return None
    sample = _encode(texts[:: math.ceil(len(texts) / _SAMPLE)], tokenizer, max_length)
    training = MaskedLMTraining(model.to(accelerator.device), tokenizer, sample, settings, accelerator)
    pieces = settings.passes * float(sample.lengths.mean()) * len(texts)
    return min(settings.tokens, pieces) * training.seconds_per_piece(np.arange(len(sample)))


def _distinct(texts: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return sorted(set(texts), key=lambda text: (len(text), text))


def _home(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: list[tuple[str, ...]],
    settings: Generator,
    max_length: int,
    cache: Path,
) -> Path:
    names = ("tokens", "passes", "batch_tokens", "lr", "mask_rate", "seed")
    recipe = {name: getattr(settings, name) for name in names} | {"max_length": max_length}
    return cache / "generators" / digest(EDITION, content_hash(model), texts, tokenizer.get_vocab(), recipe)


@dataclass
class MaskedLMTraining:
    """A masked LM, and the ``texts`` that it is trained and measured on; ``rows`` say which of them."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    texts: Encoded
    settings: Generator
    accelerator: Any

    name: ClassVar[str] = "generator (masked LM)"
    for_fewer: ClassVar[str] = "--set generator.tokens=N"

    def run(self, unseen: np.ndarray, train: np.ndarray, home: Path, observer: Observer) -> None:
        """Train on the rows ``train``, measure the perplexity on those ``unseen``; write model and card to ``home``."""
        # A small corpus read hundreds of times would take longer than all that is made of it.
        pieces, settings = int(self.texts.lengths[train].sum()), self.settings
        self.settings = replace(settings, tokens=max(1, min(settings.tokens, round(settings.passes * pieces))))
        tokens = self.settings.tokens
        observer.note(
            f"training the {self.name} on {len(train):,} texts: {tokens:,} word pieces, each text "
            f"{tokens / pieces:.2g} times, about {clock_time(tokens * self.seconds_per_piece(train))}; for fewer: "
            f"{self.for_fewer}"
        )
        start, states = time.perf_counter(), Checkpoints(home.with_name(f"{home.name}.states"), observer)
        with torch.random.fork_rng(), Interrupts() as interrupts:
            tokens = self._fit(train, states, observer, interrupts)
        card = {
            "hash": content_hash(self.model),
            "perplexity": self.perplexity(unseen),
            "held_out_texts": len(unseen),
            "train_texts": len(train),
            "tokens": tokens,
            "seconds": round(time.perf_counter() - start, 1),
        }
        with whole_folder(home) as part:
            save(self.model, self.tokenizer, part)
            (part / "card.json").write_text(json.dumps(card))
        states.remove()

    def _fit(self, rows: np.ndarray, states: Checkpoints, observer: Observer, interrupts: Interrupts) -> int:
        """Train until ``settings.tokens`` word pieces were read; return how many that were."""
        model, settings, accelerator = self.model, self.settings, self.accelerator
        optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.01, fused=True)
        rng = self._rng("masks")
        done, position, losses, last_saved = 0, 0, [], time.perf_counter()
        state = states.load(model=model.state_dict())
        if state is not None:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            rng.set_state(state["rng"])
            done, position = state["done"], state["position"]
        model.train()
        order = self._order(rows)
        observer.update("generator", done, settings.tokens)
        while done < settings.tokens:
            inputs = self.texts.inputs(rows[order[position]], accelerator.device)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * learning_rate(done, settings.tokens, 0.06)
            start_stream(accelerator.device, settings.seed, "generator's dropout", position)
            loss = self._loss(inputs, rng)
            if loss is not None:
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.detach())
            position += 1
            done += int(inputs["attention_mask"].sum())
            if len(losses) == 10:
                mean = float(torch.stack(losses).mean())
                if not math.isfinite(mean):
                    raise BenchError(f"the generator's loss is {mean} after {done} word pieces; lower generator.lr")
                observer.update("generator", min(done, settings.tokens), settings.tokens, mean)
                losses.clear()
            if time.perf_counter() - last_saved > _CHECKPOINT_SECONDS or interrupts.asked:
                last_saved = time.perf_counter()
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": rng.get_state()}
                states.save({**state, "done": done, "position": position})
            interrupts.obey()
        return done

    def seconds_per_piece(self, rows: np.ndarray) -> float:
        """Return how long training takes per word piece, of two batches timed; nothing is learned."""
        rng, order, seconds = self._rng("timing"), self._order(rows), 0.0
        self.model.train()
        with torch.random.fork_rng():
            # The first batch is slower than all that follow.
            for position in (0, 1):
                start, inputs = time.perf_counter(), self.texts.inputs(rows[order[position]], self.accelerator.device)
                loss = self._loss(inputs, rng)
                if loss is not None:
                    self.accelerator.backward(loss)
                    self.model.zero_grad()
                pieces = int(inputs["attention_mask"].sum())
                if self.accelerator.device.type == "cuda":
                    torch.cuda.synchronize(self.accelerator.device)
                seconds = (time.perf_counter() - start) / pieces
        return seconds

    @torch.inference_mode()
    def perplexity(self, rows: np.ndarray) -> float:
        """Return exp of the mean cross-entropy at masked positions, at the training mask rate."""
        self.model.eval()
        rng = self._rng("masks of held-out texts")
        total, count = 0.0, 0
        for start in range(0, len(rows), 32):
            inputs = self.texts.inputs(rows[start : start + 32], self.accelerator.device)
            before = rng.get_state()
            loss = self._loss(inputs, rng, "sum")
            rng.set_state(before)
            count += int(self._predicted(inputs, rng).sum())
            total += 0.0 if loss is None else float(loss)
        return math.exp(total / max(1, count))

    def _predicted(self, inputs: Inputs, rng: torch.Generator) -> torch.Tensor:
        """Return a new draw of the positions [B, L] whose tokens are to be predicted."""
        return draw_mask(inputs, self.tokenizer, self.settings.mask_rate, rng)

    def _loss(self, inputs: Inputs, rng: torch.Generator, reduction: str = "mean") -> torch.Tensor | None:
        """Return the cross-entropy at masked positions, or None where the draw masked nothing."""
        masked = self._predicted(inputs, rng)
        if not masked.any():
            return None
        hidden = inputs["input_ids"].masked_fill(masked, self.tokenizer.mask_token_id)
        with gathered(self.model, masked), self.accelerator.autocast():
            logits = self.model(**accepted(self.model, {**inputs, "input_ids": hidden})).logits[0].float()
        return F.cross_entropy(logits, inputs["input_ids"][masked], reduction=reduction)

    def _order(self, rows: np.ndarray) -> TokenBatchOrder:
        return TokenBatchOrder(self.texts.lengths[rows], self.settings.batch_tokens, self.settings.seed)

    def _rng(self, purpose: str) -> torch.Generator:
        return torch.Generator(self.accelerator.device).manual_seed(stream_seed(self.settings.seed, purpose))


def held_out(texts: Sequence[tuple[str, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the ``texts`` to measure the perplexity on, and of those to train on.

    A premise or a question stands in several pairs: none of the sentences held out is in a text to train on.
    Raises BenchError where there are too few texts.
    """
    if len(texts) < 2 * _HELD_OUT_EVERY:
        raise BenchError(f"only {len(texts)} different texts to train a language model on; give more tasks or data")
    rows = np.random.default_rng(0).permutation(len(texts))
    unseen = rows[: min(_HELD_OUT_MOST, len(rows) // _HELD_OUT_EVERY)]
    sentences = {sentence for row in unseen for sentence in texts[row]}
    train = [row for row in rows[len(unseen) :] if sentences.isdisjoint(texts[row])]
    return unseen, np.array(train, dtype=np.int64)


def _encode(texts: Sequence[tuple[str, ...]], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
    parts = []
    for n in sorted({len(text) for text in texts}):
        examples = [Example(i, text) for i, text in enumerate(texts) if len(text) == n]
        parts.append(encode(examples, tokenizer, max_length))
    return join(parts)
