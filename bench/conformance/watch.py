"""Stands between the training loop and a strategy, and writes down what the strategy must not do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from bench.conformance.subject import Failed, cut, global_states
from bench.models.inputs import Inputs
from bench.strategy import Batch, Models, Strategy, View


class Watch:
    """Stands between the loop and a strategy, and writes down in ``problems`` what the strategy must not do."""

    def __init__(self) -> None:
        self.problems: dict[str, list[str]] = {}
        self.views = 0
        self.batches = 0
        self.passed: Counter[str] = Counter()

    def problem(self, check: str, text: str) -> None:
        """Write down that ``check`` is not satisfied."""
        self.problems.setdefault(check, []).append(text)

    def put_around(self, strategy: Strategy, models: Models) -> None:
        """Watch every call of ``strategy`` from here on."""
        self.strategy, self.models = strategy, models
        self.teacher = None if models.teacher is None else weights_of(models.teacher)
        for role in ("student", "teacher", "generator"):
            if (model := getattr(models, role)) is not None:
                model.base_model.register_forward_pre_hook(self._counter(role), with_kwargs=True)
        views, fit_adversary, setup = strategy.views, strategy.fit_adversary, strategy.setup

        def watched_setup(models: Models) -> None:
            with self.inside("setup()"):
                setup(models)

        def watched_views(batch: Batch, models: Models) -> Iterator[View]:
            self.batches += 1
            before, weights, waited = _contents(batch), weights_of(models.student), False
            yielded = iter(views(batch, models))
            while True:
                with self.inside("views()"):
                    view = next(yielded, None)
                if view is None:
                    break
                self.views += 1
                self.look_at(view, batch)
                waited |= view.wait
                yield view
            self.unchanged(before, batch, "views()")
            self.student_unchanged(weights, "views()", gradient=not waited)

        def watched_fit(batch: Batch, models: Models) -> torch.Tensor:
            before, weights = _contents(batch), weights_of(models.student)
            with self.inside("fit_adversary()"):
                loss = fit_adversary(batch, models)
            self.unchanged(before, batch, "fit_adversary()")
            self.student_unchanged(weights, "fit_adversary()", gradient=True)
            if not isinstance(loss, torch.Tensor) or loss.dim() != 0:
                self.problem("trains", f"fit_adversary() returned {cut(repr(loss))}; return its loss, a scalar tensor")
            elif loss.requires_grad:
                self.problem("bounded_memory", "fit_adversary() returned a loss with its graph; return loss.detach()")
            return loss

        strategy.setup = watched_setup  # type: ignore[method-assign]
        strategy.views = watched_views  # type: ignore[method-assign]
        strategy.fit_adversary = watched_fit  # type: ignore[method-assign]

    def _counter(self, role: str) -> Any:
        def count(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            first = next(value for value in [*args, *kwargs.values()] if isinstance(value, torch.Tensor))
            self.passed[role] += len(first)

        return count

    @contextmanager
    def inside(self, where: str) -> Iterator[None]:
        """Compare what every call of a strategy must leave as it was: random states, modes, what needs gradients."""
        models = self.models
        states, passed, counted = global_states(), Counter(self.passed), Counter(models.cost.forwards)
        training = models.student.training
        yield
        touched = [name for name, state in global_states().items() if state != states[name]]
        if touched:
            self.problem(
                "keeps_global_state",
                f"{where} changes the global random state of {' and '.join(touched)}; draw from models.rng "
                f"(torch.rand(..., generator=models.rng))",
            )
        for role in ("student", "teacher", "generator"):
            made, known = self.passed[role] - passed[role], models.cost.forwards[role] - counted[role]
            if made > known:
                self.problem(
                    "counts_its_cost",
                    f"{where} put {made} rows through the {role}, of which {known} are counted; call "
                    f"models.logits({role!r}, inputs), which counts them and keeps the run's precision",
                )
        if where == "views()" and models.student.training != training:
            self.problem("student_untouched", f"{where} leaves the student in eval mode; put it back: student.train()")
        if models.teacher is not None and models.teacher.training:
            self.problem("teacher_untouched", f"{where} leaves the teacher in train mode: its dropout is on")

    def unchanged(self, before: dict[str, torch.Tensor], batch: Batch, where: str) -> None:
        """Compare the batch with what it was."""
        after = _contents(batch)
        for name, tensor in before.items():
            if name not in after or not equal(tensor, after[name]):
                self.problem("batch_untouched", f"{where} changes the batch's {name} in place; change a copy of it")

    def student_unchanged(self, before: dict[str, torch.Tensor], where: str, *, gradient: bool) -> None:
        """Compare the student with what it was: weights, what is trained, and that no gradient is left in it."""
        student = self.models.student
        for name, tensor in weights_of(student).items():
            if not equal(before[name], tensor):
                self.problem("student_untouched", f"{where} changes the student's {name}; only the harness trains it")
                break
        for name, parameter in student.named_parameters():
            if not parameter.requires_grad:
                self.problem(
                    "student_untouched",
                    f"{where} leaves the student frozen; put it back: requires_grad_(True)",
                )
                break
            if gradient and parameter.grad is not None:
                self.problem(
                    "student_untouched",
                    f"{where} leaves a gradient in the student's {name}, which its next update would take for its own; "
                    f"use torch.autograd.grad, or freeze the student while you work",
                )
                break

    def look_at(self, view: Any, batch: Batch) -> None:
        """Write down what is wrong with a view."""

        def wrong(text: str) -> None:
            self.problem("views", text)

        if not isinstance(view, View):
            raise Failed(f"views() yielded {cut(repr(view))}; yield bench.View(student=inputs, ...)")
        rows, outputs = len(batch.rows), self.models.task.n_outputs
        if not (math.isfinite(view.weight) and view.weight > 0):
            wrong(f"a view has weight {view.weight}; weights are above 0")
        self._look_at_inputs("student", view.student, rows, wrong)
        if view.teacher is not None:
            self._look_at_inputs("teacher", view.teacher, rows, wrong)
        if view.teacher_logits is not None:
            logits = view.teacher_logits
            if logits.shape != (rows, outputs):
                wrong(f"a view's teacher_logits have shape {tuple(logits.shape)}; make it {(rows, outputs)}")
            elif not bool(logits.isfinite().all()):
                wrong("a view's teacher_logits are not finite")
            if logits.requires_grad:
                wrong("a view's teacher_logits carry a gradient; make them under torch.no_grad()")
        elif view.teacher is None and batch.teacher_logits is None:
            wrong("a view says nothing of the teacher's side, and there is no teacher: name it in needs")

    def _look_at_inputs(self, role: str, inputs: Inputs, rows: int, wrong: Callable[[str], None]) -> None:
        ids, embedded, mask = (inputs.get(key) for key in ("input_ids", "inputs_embeds", "attention_mask"))
        if mask is None or mask.dim() != 2 or len(mask) != rows:
            wrong(f"a view's {role} inputs need an attention_mask [{rows}, L], not {_shape(mask)}")
            return
        if (ids is None) == (embedded is None):
            wrong(f"a view's {role} inputs need either input_ids or inputs_embeds, not {sorted(inputs)}")
            return
        if not bool(mask.any(dim=1).all()):
            wrong(f"a view's {role} attention_mask hides all of a row")
        shape = tuple(mask.shape)
        for key, tensor in inputs.items():
            if tuple(tensor.shape[:2]) != shape or tensor.dim() != (3 if key == "inputs_embeds" else 2):
                wrong(f"a view's {role} {key} have shape {_shape(tensor)}, but its attention_mask {list(shape)}")
                return
        if ids is not None and (int(ids.min()) < 0 or int(ids.max()) >= len(self.models.tokenizer)):
            wrong(f"a view's {role} input_ids go from {int(ids.min())} to {int(ids.max())}: beyond the vocabulary")
        if embedded is not None and not bool(embedded.isfinite().all()):
            wrong(f"a view's {role} inputs_embeds are not finite")


def _shape(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else str(list(tensor.shape))


def _contents(batch: Batch) -> dict[str, torch.Tensor]:
    """Return copies of every tensor of ``batch`` by name."""
    found = {"labels": batch.labels, "rows": torch.from_numpy(batch.rows), **batch.inputs}
    if batch.teacher_logits is not None:
        found["teacher_logits"] = batch.teacher_logits
    views = [view for _, own in batch.rewrites for view in own]
    for number, view in enumerate(views):
        found |= {f"rewrites[{number}].student[{key!r}]": tensor for key, tensor in view.student.items()}
        if view.teacher_logits is not None:
            found[f"rewrites[{number}].teacher_logits"] = view.teacher_logits
    return {name: tensor.detach().clone() for name, tensor in found.items()}


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of the weights of ``model`` by name."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same to the last bit."""
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
