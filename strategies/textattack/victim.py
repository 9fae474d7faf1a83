"""The model under attack, and an attack of TextAttack's on rows of one or two texts with a budget of queries."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from bench.models.inputs import accepted, longest
from bench.models.load import explained, load_tokenizer
from strategies.textattack.library import split_after, textattack
from strategies.textattack.requirements import Model

_STATUS = textattack.goal_function_results.GoalFunctionResultStatus
_OUTCOMES = {_STATUS.SUCCEEDED: "success", _STATUS.SKIPPED: "skipped"}


class Victim(textattack.models.wrappers.ModelWrapper):
    """The model under attack: reads candidates in their row, padded to the longest of a batch, without dropout."""

    def __init__(self, folder: str, device: str) -> None:
        with explained(folder):
            model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)
        self.model = model.float().eval().requires_grad_(False).to(device)
        self.tokenizer = load_tokenizer(folder)
        self.max_length = longest(model, self.tokenizer)
        self.asked = 0
        self.read_in((), 0, "")

    def read_in(self, row: tuple[str, ...], side: int, tail: str) -> None:
        """From now on read a candidate, with ``tail`` behind it, in the place of text ``side`` of ``row``."""
        self.before, self.tail, self.after = row[:side], tail, row[side + 1 :]
        self.side, self.asked = side, 0

    def _encoded(self, texts: Sequence[str]) -> Any:
        rows = [(*self.before, text + self.tail, *self.after) for text in texts]
        columns = [list(column) for column in zip(*rows, strict=True)]
        encoded = self.tokenizer(
            *columns, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return encoded.to(self.model.device)

    def __call__(self, text_input_list: Sequence[str], **kwargs: Any) -> torch.Tensor:
        """Return the logits [N, C] of N candidates."""
        self.asked += len(text_input_list)
        with torch.no_grad():
            return self.model(**accepted(self.model, self._encoded(text_input_list))).logits.double().cpu()

    def _places(self, encoded: Any) -> list[int]:
        """Return where the candidate's pieces are in the first row."""
        return [place for place, side in enumerate(encoded.sequence_ids(0)) if side == self.side]

    def get_grad(self, text_input: str) -> dict[str, Any]:
        """Return the gradient of the loss at the candidate's embeddings, without dropout (the library's has it)."""
        self.asked += 1
        encoded = self._encoded([text_input])
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
            encoded = self._encoded([text])
            pieces = self.tokenizer.convert_ids_to_tokens(encoded["input_ids"][0].tolist())
            rows.append([pieces[place] for place in self._places(encoded)])
        return rows


@functools.lru_cache(maxsize=1)
def victim(model: Model, device: str) -> Victim:
    """Return the classifier ``model``, loaded anew where its contents are others."""
    return Victim(model.folder, device)


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
        self, row: tuple[str, ...], side: int, head: str, tail: str, label: int, queries: int
    ) -> tuple[str, str, int]:
        """Attack ``head``, the beginning of text ``side`` of ``row``; return outcome, the new head and queries."""
        goal = self.goal_function
        # Of the rest no more than the victim can read.
        goal.model.read_in(row, side, split_after(tail, goal.model.max_length)[0])
        goal.query_budget = queries
        # The library keeps answers by the candidate alone, but the row's other text changes them.
        self.clear_cache()
        result = self.attack(head, label).perturbed_result
        text = result.attacked_text.text
        # Input reduction has no success, only a text that got as short as it can.
        shorter = result.goal_status == _STATUS.MAXIMIZING and text != head
        outcome = "success" if shorter else _OUTCOMES.get(result.goal_status, "failure")
        return outcome, text if outcome == "success" else head, goal.model.asked
