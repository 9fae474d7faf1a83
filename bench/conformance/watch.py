"""Stands between the training loop and a strategy, and writes down which rules the strategy breaks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from bench.conformance import Failed, shortened
from bench.conformance.global_state import changed_since, global_states
from bench.models.inputs import Inputs, Role
from bench.strategy import Batch, Models, Strategy, View

_ROLES: tuple[Role, ...] = ("student", "teacher", "generator")


class Watch:
    """Watches every call of ``strategy`` from here on; ``problems`` holds the rules it breaks, by check."""

    def __init__(self, strategy: Strategy, models: Models) -> None:
        self.models = models
        self.problems: dict[str, list[str]] = {}
        self.views = self.batches = 0
        self._rows_seen: Counter[str] = Counter()
        for role in _ROLES:
            if (model := getattr(models, role)) is not None:
                model.base_model.register_forward_pre_hook(self._counter(role), with_kwargs=True)
        views, fit_adversary, setup = strategy.views, strategy.fit_adversary, strategy.setup

        def watched_setup(models: Models) -> None:
            with self._inside("setup()"):
                setup(models)

        def watched_views(batch: Batch, models: Models) -> Iterator[View]:
            self.batches += 1
            views_of_batch, waited = iter(views(batch, models)), False
            while True:
                # The harness leaves the gradient of a view that it is asked to wait for.
                with self._inside("views()", batch, gradient_allowed=waited):
                    view = next(views_of_batch, None)
                if view is None:
                    break
                self.views += 1
                self._look_at(view, batch)
                waited |= view.wait
                yield view

        def watched_fit(batch: Batch, models: Models) -> torch.Tensor:
            with self._inside("fit_adversary()", batch):
                loss = fit_adversary(batch, models)
            if not isinstance(loss, torch.Tensor) or loss.dim() != 0:
                what = shortened(repr(loss))
                self._problem("trains", f"fit_adversary() returned {what}; return its loss, a scalar tensor")
            elif loss.requires_grad:
                self._problem("bounded_memory", "fit_adversary() returned a loss with its graph; return loss.detach()")
            return loss

        strategy.setup = watched_setup  # type: ignore[method-assign]
        strategy.views = watched_views  # type: ignore[method-assign]
        strategy.fit_adversary = watched_fit  # type: ignore[method-assign]

    def _problem(self, check: str, text: str) -> None:
        self.problems.setdefault(check, []).append(text)

    def _counter(self, role: str) -> Any:
        def count(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            first = next(value for value in [*args, *kwargs.values()] if isinstance(value, torch.Tensor))
            self._rows_seen[role] += len(first)

        return count

    @contextmanager
    def _inside(self, where: str, batch: Batch | None = None, *, gradient_allowed: bool = False) -> Iterator[None]:
        """Compare what every call of a strategy must leave as it is: batch, models, random states, what is counted."""
        models, tensors, states = self.models, _tensors(batch), global_states()
        seen, counted = Counter(self._rows_seen), Counter(models.cost.forwards)
        kept = {role: _state(model) for role in _ROLES[:2] if (model := getattr(models, role)) is not None}
        yield
        if changes := changed_since(states):
            self._problem(
                "training_keeps_global_state",
                f"{where} changes the global random state of {' and '.join(changes)}; draw from models.rng "
                f"(torch.rand(..., generator=models.rng))",
            )
        for role in _ROLES:
            rows, counts = self._rows_seen[role] - seen[role], models.cost.forwards[role] - counted[role]
            if rows > counts:
                self._problem(
                    "counts_its_cost",
                    f"{where} put {rows} rows through the {role}, of which {counts} are counted; call "
                    f"models.logits({role!r}, inputs), which counts them and keeps the run's precision",
                )
        if name := different(tensors, _tensors(batch)):
            self._problem("batch_untouched", f"{where} changes the batch's {name} in place; change a copy of it")
        for role, (weights, learns, trains) in kept.items():
            model, problem = getattr(models, role), f"{role}_untouched"
            weights_now, learns_now, trains_now = _state(model)
            if name := different(weights, weights_now):
                self._problem(problem, f"{where} changes the {role}'s {name}; only the harness trains a model")
            if learns_now != learns:
                what = "frozen" if learns else "open to gradients"
                self._problem(problem, f"{where} leaves the {role} {what}; put it back: requires_grad_({learns})")
            gradients = (name for name, parameter in model.named_parameters() if parameter.grad is not None)
            if not gradient_allowed and (name := next(gradients, None)):
                self._problem(
                    problem,
                    f"{where} leaves a gradient in the {role}'s {name}, which its next update would take for its own; "
                    f"use torch.autograd.grad, or freeze the {role} while you work",
                )
            # In an adversary's turn the student's mode is the strategy's to set.
            if trains_now != trains and (role, where) != ("student", "fit_adversary()"):
                modes = ("train", "eval") if trains_now else ("eval", "train")
                self._problem(problem, "{} leaves the {} in {} mode; put it back: {}()".format(where, role, *modes))

    def _look_at(self, view: Any, batch: Batch) -> None:
        """Write down what is wrong with a view."""
        if not isinstance(view, View):
            raise Failed(f"views() yielded {shortened(repr(view))}; yield bench.View(student=inputs, ...)")
        rows, outputs, logits = len(batch.rows), self.models.task.n_outputs, view.teacher_logits
        wrong = [*self._wrong_inputs("student", view.student, rows)]
        if not (math.isfinite(view.weight) and view.weight > 0):
            wrong.append(f"weight {view.weight}; weights are above 0")
        if view.teacher is not None:
            wrong += self._wrong_inputs("teacher", view.teacher, rows)
        if logits is None:
            if view.teacher is None and batch.teacher_logits is None:
                wrong.append("nothing of the teacher's side, and there is no teacher: name it in needs")
        elif logits.shape != (rows, outputs):
            wrong.append(f"teacher_logits of shape {tuple(logits.shape)}; make it {(rows, outputs)}")
        elif not bool(logits.isfinite().all()):
            wrong.append("teacher_logits that are not finite")
        elif logits.requires_grad:
            wrong.append("teacher_logits with a gradient; make them under torch.no_grad()")
        for what in wrong:
            self._problem("views", f"a view has {what}")

    def _wrong_inputs(self, role: str, inputs: Inputs, rows: int) -> Iterator[str]:
        """Yield what a model could not read of a view's inputs, up to what makes looking on pointless."""
        ids, embedded, mask = (inputs.get(key) for key in ("input_ids", "inputs_embeds", "attention_mask"))
        if mask is None or mask.dim() != 2 or len(mask) != rows:
            shape = "no such tensor" if mask is None else f"one of {list(mask.shape)}"
            yield f"{role} inputs that need an attention_mask [{rows}, L], but {shape}"
        elif (ids is None) == (embedded is None):
            yield f"{role} inputs {sorted(inputs)}; give either input_ids or inputs_embeds"
        elif not bool(mask.any(dim=1).all()):
            yield f"a {role} attention_mask that hides all of a row"
        elif odd := [
            (key, list(tensor.shape))
            for key, tensor in inputs.items()
            if tensor.shape[:2] != mask.shape or tensor.dim() != (3 if key == "inputs_embeds" else 2)
        ]:
            yield f"{role} {odd[0][0]} of shape {odd[0][1]}, but an attention_mask of {list(mask.shape)}"
        elif ids is not None and (int(ids.min()) < 0 or int(ids.max()) >= len(self.models.tokenizer)):
            yield f"{role} input_ids from {int(ids.min())} to {int(ids.max())}: beyond the vocabulary"
        elif embedded is not None and not bool(embedded.isfinite().all()):
            yield f"{role} inputs_embeds that are not finite"


def _tensors(batch: Batch | None) -> dict[str, torch.Tensor]:
    """Return copies of every tensor of ``batch`` by name."""
    if batch is None:
        return {}
    tensors = {"labels": batch.labels, "rows": torch.from_numpy(batch.rows), **batch.inputs}
    if batch.teacher_logits is not None:
        tensors["teacher_logits"] = batch.teacher_logits
    for number, view in enumerate(view for _, views in batch.rewrites for view in views):
        tensors |= {f"rewrites[{number}].student[{key!r}]": tensor for key, tensor in view.student.items()}
        if view.teacher_logits is not None:
            tensors[f"rewrites[{number}].teacher_logits"] = view.teacher_logits
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _state(model: torch.nn.Module) -> tuple[dict[str, torch.Tensor], bool, bool]:
    """Return copies of the weights of ``model``, whether all of it takes gradients, and whether it is in train mode."""
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return weights, all(parameter.requires_grad for parameter in model.parameters()), model.training


def different(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> str | None:
    """Return the name of a tensor that is not to the last bit what it was ``before``, or None."""

    def same(one: torch.Tensor, other: torch.Tensor | None) -> bool:
        return other is not None and one.dtype == other.dtype and torch.equal(one, other)

    return next((name for name, tensor in before.items() if not same(tensor, after.get(name))), None)
