"""The model under attack, and an attack of TextAttack's on rows of one or two texts with a budget of queries."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from bench.distill.losses import row_divergence
from bench.models.classify import Classifier, classifier
from bench.models.inputs import accepted
from strategies.textattack.library import split_after, textattack
from strategies.textattack.requirements import Model

_STATUS = textattack.goal_function_results.GoalFunctionResultStatus
_OUTCOMES = {_STATUS.SUCCEEDED: "success", _STATUS.SKIPPED: "skipped"}


class Victim(textattack.models.wrappers.ModelWrapper):
    """The model under attack: reads candidates in their row, padded to the longest of a batch, without dropout.

    Where there are more ``models``, all are asked about every candidate; the first is the victim.
    """

    def __init__(self, models: Sequence[Classifier]) -> None:
        self.models = models
        self.model, self.tokenizer, self.max_length = models[0].model, models[0].tokenizer, models[0].max_length
        self.asked = 0
        self.read_in((), 0, "")

    def read_in(self, row: tuple[str, ...], side: int, tail: str) -> None:
        """From now on read a candidate, with ``tail`` behind it, in the place of text ``side`` of ``row``."""
        self.before, self.tail, self.after = row[:side], tail, row[side + 1 :]
        self.side, self.asked = side, 0

    def _rows(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        return [(*self.before, text + self.tail, *self.after) for text in texts]

    def __call__(self, text_input_list: Sequence[str], **kwargs: Any) -> torch.Tensor:
        """Return the logits of N candidates: [N, C], or of M models [N, M, C]."""
        self.asked += len(text_input_list) * len(self.models)
        rows = self._rows(text_input_list)
        logits = [model.logits(rows) for model in self.models]
        return logits[0] if len(logits) == 1 else torch.stack(logits, dim=1)

    def _places(self, encoded: Any) -> list[int]:
        """Return where the candidate's pieces are in the first row."""
        return [place for place, side in enumerate(encoded.sequence_ids(0)) if side == self.side]

    def get_grad(self, text_input: str) -> dict[str, Any]:
        """Return the gradient of the loss at the candidate's embeddings, without dropout (the library's has it)."""
        self.asked += 1
        encoded = self.models[0].encoded(self._rows([text_input]))
        embeddings: list[torch.Tensor] = []

        def keep(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
            embeddings.append(output.detach().requires_grad_())
            return embeddings[0]

        hook = self.model.get_input_embeddings().register_forward_hook(keep)
        try:
            with torch.enable_grad():
                logits = self.model(**accepted(self.model, encoded)).logits
                loss = torch.nn.functional.cross_entropy(logits, logits.argmax(dim=1))
                (gradient,) = torch.autograd.grad(loss, embeddings[0])
        finally:
            hook.remove()
        places = self._places(encoded)
        return {"ids": encoded["input_ids"][0, places].tolist(), "gradient": gradient[0, places].cpu().numpy()}

    def _tokenize(self, inputs: Sequence[str]) -> list[list[str]]:
        rows = []
        for text in inputs:
            encoded = self.models[0].encoded(self._rows([text]))
            pieces = self.tokenizer.convert_ids_to_tokens(encoded["input_ids"][0].tolist())
            rows.append([pieces[place] for place in self._places(encoded)])
        return rows


@functools.lru_cache(maxsize=1)
def victim(models: tuple[Model, ...], device: str) -> Victim:
    """Return the first of ``models`` as a victim, the others beside it."""
    return Victim([classifier(model.folder, device, model.digest) for model in models])


class Divergence(textattack.goal_functions.GoalFunction):
    """The goal that the victim's teacher, asked beside it, says something else: KL(T || S) of ``threshold`` nats."""

    def __init__(self, threshold: float, model: Victim) -> None:
        super().__init__(model)
        self.threshold = threshold

    def _process_model_outputs(self, inputs: Any, outputs: torch.Tensor) -> torch.Tensor:
        return outputs

    def _get_score(self, model_output: torch.Tensor, attacked_text: Any) -> float:
        student, teacher = model_output
        return float(row_divergence(teacher, student, is_regression=False))

    def _is_goal_complete(self, model_output: torch.Tensor, attacked_text: Any) -> bool:
        return self._get_score(model_output, attacked_text) >= self.threshold

    def _get_displayed_output(self, raw_output: torch.Tensor) -> int:
        return int(raw_output[0].argmax())

    def _goal_function_result_type(self) -> type:
        return textattack.goal_function_results.ClassificationGoalFunctionResult


class RowAttack(textattack.Attack):
    """TextAttack's attack, of which a recipe says the parts, on one text of a row."""

    def filter_transformations(self, transformed_texts: Sequence[Any], *against: Any, **kwargs: Any) -> list[Any]:
        """Return the candidates that pass the constraints, in the order of their texts, no more than may be asked.

        Whether the others would, which is most of the work of recipes with a sentence encoder, does not matter.
        """
        left = max(1, self.goal_function.query_budget - self.goal_function.num_queries)
        texts, passed = sorted(transformed_texts, key=lambda text: text.text), []
        for start in range(0, len(texts), left):
            passed += super().filter_transformations(texts[start : start + left], *against, **kwargs)
            if len(passed) >= left:
                break
        return passed

    def on_row(
        self, row: tuple[str, ...], side: int, head: str, tail: str, label: int | None, queries: int
    ) -> tuple[str, str, int]:
        """Attack ``head``, the beginning of text ``side`` of ``row``; return outcome, the new head and queries.

        Where ``label`` is None, what the victim says of the row is to change.
        """
        goal = self.goal_function
        # Of the rest no more than the victim can read.
        goal.model.read_in(row, side, split_after(tail, goal.model.max_length)[0])
        goal.query_budget = queries // len(goal.model.models)
        # The library keeps answers by the candidate alone, but the row's other text changes them.
        self.clear_cache()
        if label is None:
            label = goal.get_output(textattack.shared.AttackedText(head))  # kept, so asked once
        result = self.attack(head, label).perturbed_result
        text = result.attacked_text.text
        # Input reduction has no success, only a text that got as short as it can.
        shorter = result.goal_status == _STATUS.MAXIMIZING and text != head
        outcome = "success" if shorter else _OUTCOMES.get(result.goal_status, "failure")
        return outcome, text if outcome == "success" else head, goal.model.asked
