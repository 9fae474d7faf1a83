"""TextAttack's own Attacker on rows of the suite, with models that are here in the places of those it fetches."""

from __future__ import annotations

import contextlib
import functools
import io
import random
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from typing import Any
from unittest import mock


def attacked_by_the_library(
    strategy: Any, folder: str, local: Any, columns: list[str], rows: list[Any], seeds: list[int], budget: int
) -> list[list[Any]]:
    """[outcome, texts, queries] of each of ``rows``, (texts, label), on the student in ``folder``.

    The library seeds once; here each row gets its own seed, as in the suite, the moment the library takes it.
    """
    from strategies.textattack.library import seed, textattack  # isort: skip
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from strategies.textattack.build import _built_of
    from strategies.textattack.students import _TRAINING, OURS

    class Rows(textattack.datasets.Dataset):
        def __getitem__(self, number: Any) -> Any:
            seed(seeds[number])
            return super().__getitem__(number)

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    wrapper = textattack.models.wrappers.HuggingFaceModelWrapper(model, AutoTokenizer.from_pretrained(folder))
    given = {f.name: getattr(strategy, f.name) for f in fields(strategy) if f.name not in {*_TRAINING, *OURS}}
    with _built_of(strategy.target, local) as recipe, _its_own(strategy.target, local):
        attack = recipe.build(wrapper, **given)
    assert type(attack).filter_transformations is textattack.Attack.filter_transformations
    single = len(columns) == 1
    data = [(texts[0] if single else tuple(texts), label) for texts, label in rows]
    settings = textattack.AttackArgs(num_examples=len(rows), query_budget=budget, disable_stdout=True, silent=True)
    dataset = Rows(data, input_columns=["text"] if single else columns)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        results = textattack.Attacker(attack, dataset, settings).attack_dataset()
    return [_plain(result, list(texts)) for result, (texts, _) in zip(results, rows, strict=True)]


@contextlib.contextmanager
def _its_own(target: str, local: Any) -> Iterator[None]:
    """Inside, the recipe at ``target`` asks the local masked LM by the library's own class, as that comes."""
    from textattack.transformations import WordSwapMaskedLM
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    module = import_module(target.partition(":")[0])
    if local.generator is None or "WordSwapMaskedLM" not in vars(module):
        yield
        return
    tokenizer = AutoTokenizer.from_pretrained(local.generator.folder)
    swap = functools.partial(
        WordSwapMaskedLM,
        masked_language_model=AutoModelForMaskedLM.from_pretrained(local.generator.folder),
        tokenizer=tokenizer,
        max_length=min(512, tokenizer.model_max_length),
    )
    with mock.patch.dict(vars(module), {"WordSwapMaskedLM": swap}):
        yield


def _plain(result: Any, texts: list[str]) -> list[Any]:
    name = type(result).__name__
    outcome = {"SuccessfulAttackResult": "success", "SkippedAttackResult": "skipped"}.get(name, "failure")
    if outcome == "success":
        changed = result.perturbed_result.attacked_text.tokenizer_input
        texts = [changed] if isinstance(changed, str) else list(changed)
    return [outcome, texts, result.num_queries]


def attacked_by_us(strategy: Any, context: Any, rows: list[Any], seeds: list[int], budget: int) -> list[list[Any]]:
    """The same of the suite's attack, in this process."""
    from bench.data.tasks import Example
    from strategies.textattack.students import AsPublished

    class Given(random.Random):
        def getrandbits(self, k: int) -> int:
            return self.number

    rngs = []
    for number in seeds:
        rngs.append(Given())
        rngs[-1].number = number
    examples = [Example(number, tuple(texts), label) for number, (texts, label) in enumerate(rows)]
    made = AsPublished(strategy, budget).rewrite(examples, rngs, context)
    return [[row.outcome, list(row.forms[0]), row.queries] for row in made]
