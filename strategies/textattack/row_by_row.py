"""Rows attacked as the library's Attacker attacks them, each by itself, but reading the candidates of all together."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import lru
import torch

from bench.models.classify import Classifier
from bench.models.first_piece import first_piece_alone
from bench.models.inputs import accepted
from bench.rewriter import Attacked
from strategies.textattack.library import textattack
from strategies.textattack.side_by_side import SideBySide
from strategies.textattack.top_words import in_time
from strategies.textattack.victim import RowAttack, Victim

if TYPE_CHECKING:
    from bench.data.tasks import Example

Row = tuple[str, ...]
Pieces = tuple[int, ...]

_PIECES = {"cpu": 2048}
"""Word pieces that are read at once, padding included, by kind of device."""
_PIECES_ELSEWHERE = 65536
_KNOWN = 2**15
"""Rows whose logits are remembered, at least."""
_GREEDY = (textattack.search_methods.GreedyWordSwapWIR, textattack.search_methods.BeamSearch)
"""Searches that ask about all candidates they are given, in order, until the budget ends, and never count them."""


class Reader:
    """Reads rows with a student; what it has read it does not read again."""

    def __init__(self, student: Classifier) -> None:
        self._student = student
        self._by_row: dict[Row, torch.Tensor] = {}
        self._by_pieces: dict[Pieces, torch.Tensor] = {}
        self._reads_first: bool | None = None
        self.read = 0

    def logits(self, questions: Sequence[Sequence[Row]]) -> list[torch.Tensor]:
        """Return the logits [N, C] (fp32, as the library's own wrapper gives them) of the N rows of each question.

        Rows of the same word pieces get the very same logits, however they were read: a search sees a tie as one.
        """
        if len(self._by_row) > _KNOWN:
            self._by_row, self._by_pieces = {}, {}
        rows = [row for row in dict.fromkeys(row for rows in questions for row in rows) if row not in self._by_row]
        if rows:
            pieces = self._pieces(rows)
            self._read([each for each in dict.fromkeys(pieces) if each not in self._by_pieces])
            self._by_row |= {row: self._by_pieces[each] for row, each in zip(rows, pieces, strict=True)}
        return [torch.stack([self._by_row[row] for row in rows]) for rows in questions]

    def _pieces(self, rows: Sequence[Row]) -> list[Pieces]:
        columns = [list(column) for column in zip(*rows, strict=True)]
        encoded = self._student.tokenizer(
            *columns, truncation=True, max_length=self._student.max_length, return_token_type_ids=True
        )
        # Where the second text begins is part of what a row is.
        return [(*types, *ids) for types, ids in zip(encoded["token_type_ids"], encoded["input_ids"], strict=True)]

    def _read(self, new: list[Pieces]) -> None:
        new.sort(key=len)
        device = self._student.model.device
        most = _PIECES.get(device.type, _PIECES_ELSEWHERE)
        while new:
            # The longest last: so many as are as long as the first of them fit.
            rows = new[-max(1, most // (len(new[-1]) // 2)) :]
            del new[-len(rows) :]
            for each, logits in zip(rows, self._forward(rows, device), strict=True):
                self._by_pieces[each] = logits
            self.read += len(rows)

    def _forward(self, rows: Sequence[Pieces], device: torch.device) -> torch.Tensor:
        width = len(rows[-1]) // 2
        ids = torch.full((len(rows), width), self._student.tokenizer.pad_token_id)
        types, mask = torch.zeros_like(ids), torch.zeros_like(ids)
        for number, row in enumerate(rows):
            length = len(row) // 2
            types[number, :length], ids[number, :length] = torch.tensor(row).view(2, length)
            mask[number, :length] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        model = self._student.model
        read = accepted(model, {name: each.to(device) for name, each in inputs.items()})
        with torch.no_grad():
            if self._reads_first is None:
                # A head that reads more than the first piece gives other logits, or none.
                whole = model(**read).logits
                try:
                    with first_piece_alone(model):
                        self._reads_first = torch.allclose(model(**read).logits, whole, atol=1e-4)
                except (RuntimeError, IndexError, ValueError):
                    self._reads_first = False
                return whole.float().cpu()
            with first_piece_alone(model) if self._reads_first else nullcontext():
                return model(**read).logits.float().cpu()


class Student(Victim):
    """The student as the library asks it of whole rows: the questions of all rows under attack are read together."""

    def __init__(self, student: Classifier) -> None:
        super().__init__([student])
        self._reader = Reader(student)
        self.turns = SideBySide[Sequence[Row], torch.Tensor](self._reader.logits)

    def _rows(self, texts: Sequence[Any]) -> list[Row]:
        return [(text,) if isinstance(text, str) else tuple(text) for text in texts]

    def __call__(self, text_input_list: Sequence[Any], **kwargs: Any) -> torch.Tensor:
        """Return the logits [N, C] of N rows."""
        return self.turns.ask(self._rows(text_input_list))

    def _places(self, encoded: Any) -> list[int]:
        return [place for place, side in enumerate(encoded.sequence_ids(0)) if side is not None]


def attack_rows(
    built: RowAttack, columns: Sequence[str], examples: Sequence[Example], seeds: Sequence[int], budget: int
) -> list[Attacked]:
    """Attack each of ``examples``, whose texts are called ``columns``, with the parts of the attack ``built``."""
    student = _student(built.goal_function.model.models[0])
    works = [partial(_attack, built, student, columns, example, budget) for example in examples]
    return student.turns.run(works, seeds)


_asked: list[Student] = []


def _student(classifier: Classifier) -> Student:
    """Return ``classifier`` as the library asks it, with what it has read if it was the last one asked."""
    if not _asked or _asked[0].models[0] is not classifier:
        _asked[:] = [Student(classifier)]
    return _asked[0]


def _attack(built: RowAttack, student: Student, columns: Sequence[str], example: Example, budget: int) -> Attacked:
    goal = copy.copy(built.goal_function)
    goal.model, goal.query_budget = student, budget
    # The student's reader makes the batches, of all that is asked at once.
    goal.batch_size = budget
    goal._call_model_cache = lru.LRU(budget)
    kind = RowAttack if isinstance(built.search_method, _GREEDY) else textattack.Attack
    constraints = [*built.pre_transformation_constraints, *built.constraints]
    attack = kind(goal, constraints, in_time(built.transformation), copy.copy(built.search_method))
    text = textattack.shared.AttackedText(OrderedDict(zip(columns, example.texts, strict=True)))
    results = textattack.attack_results
    if text.num_words:
        result = attack.attack(text, int(example.label or 0))
    else:  # nothing to change, on which some searches fail
        first, _ = goal.init_attack_example(text, int(example.label or 0))
        skipped = first.goal_status == textattack.goal_function_results.GoalFunctionResultStatus.SKIPPED
        result = results.SkippedAttackResult(first) if skipped else results.FailedAttackResult(first, first)
    if isinstance(result, results.SuccessfulAttackResult):
        changed = student._rows([result.perturbed_result.attacked_text.tokenizer_input])
        return Attacked(changed, "success", goal.num_queries)
    outcome = "skipped" if isinstance(result, results.SkippedAttackResult) else "failure"
    return Attacked([example.texts], outcome, goal.num_queries)
