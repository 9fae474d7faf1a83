"""The plain MATE-KD, equation by equation: what the fast implementation is checked and timed against.

Rashid, Lioutas, Rezagholizadeh, "MATE-KD: Masked Adversarial TExt, a Companion to Knowledge Distillation",
ACL 2021, arXiv 2105.05912. Everything is dense and literal, as the authors run it: logits and one-hots over
all positions and the whole vocabulary, a full product with each embedding matrix, autograd through all three
models in both steps, the teacher run again on clean text every time. Nothing here is meant to be quick.

Shapes: B texts, L word pieces (padding on the right), V vocabulary entries, C classes, H embedding width.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.models.masked_lm import gumbel, not_text
from bench.models.reshape import recompute_activations

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bench.strategy import Batch, Models

Tensors = Mapping[str, Tensor]
"""input_ids, attention_mask, optionally token_type_ids (all [B, L]), and labels [B]."""


def pad_to(batch: Tensors, length: int, pad_id: int) -> dict[str, Tensor]:
    """The batch with every text padded on the right to `length` pieces (the authors' 128 for every text)."""
    missing = length - batch["input_ids"].shape[1]
    if missing < 0:
        raise ValueError(f"texts of {batch['input_ids'].shape[1]} pieces do not fit in {length}: truncate first")
    fill = {"input_ids": pad_id, "attention_mask": 0, "token_type_ids": 0}
    return {k: F.pad(v, (0, missing), value=fill[k]) if k in fill else v for k, v in batch.items()}


def _one_hot(ids: Tensor, like: Tensor) -> Tensor:
    return torch.zeros_like(like).scatter_(-1, ids[..., None], 1.0)


class PlainMateKD:
    """One teacher T, one student S, one generator G, and the two losses of the MATE-KD game.

    T and S are sequence classifiers and G is a masked language model of Hugging Face, of one vocabulary. T is
    frozen here; train or eval mode is the caller's choice. All randomness comes from the caller as well:
    `uniform` [B, L] in [0, 1) chooses the masks, `gumbel` [B, L, V] (Gumbel noise, fp32 or wider) the sample.

    special_ids are never masked, forbidden_ids never sampled. rho is the mask rate, tau the temperature of
    the Gumbel-softmax, temperature that of distillation, weights those of the student's three terms. D is
    "kl", as in the paper, or "ce", as in the authors' code; with `regression` it is the squared error of the
    one logit. Without an optimizer of your own you get AdamW at the published rate.
    """

    def __init__(
        self,
        teacher: PreTrainedModel,
        student: PreTrainedModel,
        generator: PreTrainedModel,
        *,
        special_ids: Sequence[int],
        mask_id: int,
        forbidden_ids: Sequence[int],
        rho: float = 0.3,
        tau: float = 1.0,
        temperature: float = 1.0,
        objective: Literal["kl", "ce"] = "kl",
        regression: bool = False,
        weights: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3),
        student_optimizer: torch.optim.Optimizer | None = None,
        generator_optimizer: torch.optim.Optimizer | None = None,
        clip: float = 5.0,
    ) -> None:
        if objective not in ("kl", "ce"):
            raise ValueError(f"objective must be 'kl' or 'ce', not {objective!r}")
        self.teacher, self.student, self.generator = teacher.requires_grad_(False), student, generator
        self.special_ids, self.mask_id, self.forbidden_ids = list(special_ids), mask_id, list(forbidden_ids)
        self.rho, self.tau, self.temperature = rho, tau, temperature
        self.objective, self.regression, self.weights, self.clip = objective, regression, weights, clip
        self.student_optimizer = student_optimizer or torch.optim.AdamW(student.parameters(), lr=2e-5, weight_decay=0.0)
        self.generator_optimizer = generator_optimizer or torch.optim.AdamW(
            generator.parameters(), lr=5e-7, weight_decay=0.0
        )

    # --- X'

    def mask(self, input_ids: Tensor, attention_mask: Tensor, uniform: Tensor) -> Tensor:
        """Which pieces become [MASK]: ordinary ones, each with probability rho. Boolean [B, L]."""
        special = torch.tensor(self.special_ids, dtype=torch.long, device=input_ids.device)
        return (uniform < self.rho) & (attention_mask == 1) & ~torch.isin(input_ids, special)

    def perturb(self, batch: Tensors, uniform: Tensor, gumbel: Tensor) -> tuple[Tensor, Tensor]:
        """X' as one-hots [B, L, V] that carry G's gradient, and as ids [B, L].

        Equal to X at unmasked positions; a straight-through Gumbel-softmax sample of G(X^m) at masked ones.
        """
        ids = batch["input_ids"]
        masked = self.mask(ids, batch["attention_mask"], uniform)
        masked_text = torch.where(masked, self.mask_id, ids)  # X^m

        scores = self._logits(self.generator, batch, input_ids=masked_text)
        forbidden = torch.tensor(self.forbidden_ids, dtype=torch.long, device=ids.device)
        noisy = (scores.index_fill(-1, forbidden, -torch.inf) + gumbel) / self.tau
        soft, sampled = noisy.softmax(dim=-1), noisy.argmax(dim=-1)
        hard, original = _one_hot(sampled, like=soft), _one_hot(ids, like=soft)
        sample = hard + (soft - soft.detach())  # the value of hard, exactly; the gradient of soft
        return torch.where(masked[..., None], sample, original), torch.where(masked, sampled, ids)

    # --- T(.), S(.), G(.)

    def _logits(self, model: PreTrainedModel, batch: Tensors, **text: Tensor) -> Tensor:
        """The model's output for input_ids=... or inputs_embeds=..., with token types if it knows them."""
        extra = {"attention_mask": batch["attention_mask"]}
        if "token_type_ids" in batch and "token_type_ids" in inspect.signature(model.forward).parameters:
            extra["token_type_ids"] = batch["token_type_ids"]
        return model(**text, **extra).logits

    def on_text(self, model: PreTrainedModel, batch: Tensors) -> Tensor:
        """T(X) or S(X): logits [B, C] of the clean text."""
        return self._logits(model, batch, input_ids=batch["input_ids"])

    def on_one_hot(self, model: PreTrainedModel, batch: Tensors, one_hot: Tensor) -> Tensor:
        """T(X') or S(X'): logits [B, C] of one-hots [B, L, V] times the model's embedding matrix [V, H]."""
        # Only the word embedding: each model adds positions and token types, normalises and projects.
        matrix = model.get_input_embeddings().get_parameter("weight")
        return self._logits(model, batch, inputs_embeds=one_hot.to(matrix.dtype) @ matrix)

    # --- The game

    def divergence(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        """D(T, S), mean over the batch; differentiable in both. KL(p_T || p_S), -sum p_T log p_S, or MSE."""
        if self.regression:
            return (teacher_logits[:, 0] - student_logits[:, 0]).square().mean()
        log_t = torch.log_softmax(teacher_logits / self.temperature, dim=-1)
        log_s = torch.log_softmax(student_logits / self.temperature, dim=-1)
        score = log_t - log_s if self.objective == "kl" else -log_s
        return self.temperature**2 * (log_t.exp() * score).sum(dim=-1).mean()

    def label_loss(self, student_logits: Tensor, labels: Tensor) -> Tensor:
        """CE(y, S(X)), mean over the batch; the squared error for regression."""
        if self.regression:
            return (student_logits[:, 0] - labels).square().mean()
        return F.cross_entropy(student_logits, labels)

    def generator_loss(self, batch: Tensors, uniform: Tensor, gumbel: Tensor) -> Tensor:
        """- D(T(X'), S(X')), to be minimised over G's phi."""
        x, _ = self.perturb(batch, uniform, gumbel)
        teacher = self.on_one_hot(self.teacher, batch, x)
        student = self.on_one_hot(self.student, batch, x)
        return -self.divergence(teacher, student)

    def student_loss(self, batch: Tensors, uniform: Tensor, gumbel: Tensor) -> Tensor:
        """w1 CE(y, S(X)) + w2 D(T(X), S(X)) + w3 D(T(X'), S(X')), to be minimised over S's theta."""
        x, _ = self.perturb(batch, uniform, gumbel)
        teacher, student = self.on_text(self.teacher, batch), self.on_text(self.student, batch)
        label = self.label_loss(student, batch["labels"])
        clean = self.divergence(teacher, student)
        adversarial = self.divergence(self.on_one_hot(self.teacher, batch, x), self.on_one_hot(self.student, batch, x))
        return self.weights[0] * label + self.weights[1] * clean + self.weights[2] * adversarial

    def generator_step(self, batch: Tensors, uniform: Tensor, gumbel: Tensor) -> Tensor:
        """One update of G alone; returns the loss before it."""
        loss = self.generator_loss(batch, uniform, gumbel)
        return self._step(self.generator, self.generator_optimizer, loss)

    def student_step(self, batch: Tensors, uniform: Tensor, gumbel: Tensor) -> Tensor:
        """One update of S alone; returns the loss before it."""
        loss = self.student_loss(batch, uniform, gumbel)
        return self._step(self.student, self.student_optimizer, loss)

    def _step(self, model: PreTrainedModel, optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
        # The graph reaches the other player as well; what it leaves there is cleared before that one's step.
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), self.clip)
        optimizer.step()
        return loss.detach()


class TimedReference:
    """The plain MATE-KD on copies of a run's models, to be timed beside the fast one: a ``bench.cost.Reference``."""

    def __init__(self, models: Models, *, rho: float, tau: float, objective: Literal["kl", "ce"]) -> None:
        tokenizer = models.tokenizer
        assert models.generator is not None
        assert models.teacher is not None
        student, generator, teacher = map(copy.deepcopy, (models.student, models.generator, models.teacher))
        # A copy is not compiled, and what is recomputed for the strategy is not for the reference.
        recompute_activations(teacher, False)
        self.game = PlainMateKD(
            teacher.float(),
            student.train(),
            generator.train(),
            special_ids=[tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id],
            mask_id=tokenizer.mask_token_id,
            forbidden_ids=not_text(tokenizer),
            rho=rho,
            tau=tau,
            objective=objective,
            regression=models.task.is_regression,
        )
        self.pad_id, self.vocabulary = tokenizer.pad_token_id, generator.config.vocab_size

    def update(self, batch: Batch, kind: Literal["student", "adversary"], max_length: int) -> None:
        """Make one update on ``batch``, padded to ``max_length`` pieces."""
        inputs = pad_to({**batch.inputs, "labels": batch.labels}, max_length, self.pad_id)
        shape, device = inputs["input_ids"].shape, batch.labels.device
        rng = torch.Generator(device).manual_seed(0)
        uniform = torch.rand(shape, generator=rng, device=device)
        noise = gumbel(torch.Size((*shape, self.vocabulary)), rng, device)
        step = self.game.student_step if kind == "student" else self.game.generator_step
        step(inputs, uniform, noise)
