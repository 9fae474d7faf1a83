"""Builds TextAttack's augmenters and attacks, with parts of this run in the places of those they would download."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest import mock

import torch
import transformers

from bench.errors import BenchError
from bench.rewriter import Context
from strategies.catalogues import Catalogue
from strategies.textattack.library import textattack
from strategies.textattack.masked_words import generator
from strategies.textattack.requirements import CATALOGUE, HOMOGLYPHS, MINILM, Model, TextAttackMember, cache_folder
from strategies.textattack.similarity import Anything, LocalEncoder, word_vectors
from strategies.textattack.victim import Divergence, RowAttack, victim

Given = tuple[tuple[str, Any], ...]
"""The options of a member that are the library's own: hashable, to be cached by."""


@dataclass(frozen=True)
class Local:
    """Which models of the run take the places of those a recipe would download."""

    generator: Model | None
    sentence_encoder: str
    vectors: str | None
    device: str
    tagger: str = "flair"
    homoglyphs: bool = True

    @classmethod
    def of(cls, member: TextAttackMember, context: Context) -> Local:
        """Return what ``member`` is to be built of."""
        model = Model.of(context, "generator") if member.masked_lm() else None
        vectors = getattr(member, "vectors", None)
        if vectors is None and member.word_vectors():
            vectors = str(cache_folder() / "word_embeddings" / "paragramcf")
        encoder = getattr(member, "sentence_encoder", MINILM)
        tagger, homoglyphs = getattr(member, "tagger", "flair"), getattr(member, "homoglyphs", True)
        return cls(model, encoder, vectors, context.device, tagger, homoglyphs)

    def parts(self) -> dict[str, Any]:
        """Return what stands for each name of the library's classes while a member is built."""
        parts: dict[str, Any] = {}
        encoder = functools.partial(LocalEncoder, self.sentence_encoder, self.device)
        if self.sentence_encoder == "none":
            parts |= {"UniversalSentenceEncoder": Anything, "SBERT": Anything}
        else:  # with the library's defaults
            parts["UniversalSentenceEncoder"] = functools.partial(encoder, threshold=0.8, metric="angular")
            parts["SBERT"] = functools.partial(encoder, threshold=0.7, metric="cosine")
        if self.generator is not None:
            parts |= generator(self.generator, self.device).parts(self.tagger)
        if not self.homoglyphs:
            parts[HOMOGLYPHS] = NoSwap
        return parts


class NoSwap(textattack.transformations.WordSwap):
    """In the place of a transformation that is left out: proposes no word."""

    def _get_replacement_words(self, word: str) -> list[str]:
        return []


@contextmanager
def _built_of(target: str, local: Local) -> Iterator[Any]:
    """Yield the library's class at ``target``; meanwhile, what it is built of is ``local``."""
    textattack.shared.utils.device = torch.device(local.device)
    parts = local.parts()
    module, _, name = target.partition(":")
    with ExitStack() as stack:
        # Recipes import parts at the top of their module, augmenters when they are built, from the packages.
        for place in map(import_module, (module, "textattack.transformations", "textattack.constraints.semantics")):
            there = {name: part for name, part in parts.items() if name in vars(place)}
            stack.enter_context(mock.patch.dict(vars(place), there))
        if local.vectors is not None:  # where the library keeps those that it has loaded
            vectors = {"textattack_counterfitted_GLOVE_embedding": word_vectors(local.vectors)}
            stack.enter_context(mock.patch.dict(textattack.shared.utils.GLOBAL_OBJECTS, vectors))
        if local.generator is not None:  # CLARE loads its model itself
            lm = generator(local.generator, local.device)
            for loader, loaded in (
                (transformers.AutoModelForCausalLM, lm),
                (transformers.AutoTokenizer, lm.tokenizer),
            ):
                stack.enter_context(mock.patch.object(loader, "from_pretrained", return_value=loaded))
        # A WordNet part downloads its data whenever it is built; that is ``bench prefetch``'s to do, and a worker
        # without network would wait for it.
        stack.enter_context(mock.patch("nltk.download", return_value=False))
        try:
            yield getattr(import_module(module), name)
        except (AttributeError, ImportError, TypeError) as error:
            if (other := Catalogue.read(CATALOGUE).mismatch()) is None:
                raise
            raise BenchError(f"{target} cannot be built ({error}): {other}") from error


@functools.lru_cache(maxsize=4)
def augmenter(target: str, given: Given, local: Local) -> Any:
    """Return the library's augmenter at ``target``."""
    with _built_of(target, local) as cls:
        built = cls(transformations_per_example=1, **dict(given))
        # Corpora are read when first asked, which is not to be on a row's time.
        built.augment("a first text")
    return built


@functools.lru_cache(maxsize=4)
def attack(
    target: str, given: Given, local: Local, models: tuple[Model, ...], threshold: float | None = None
) -> RowAttack:
    """Return the library's attack that the recipe at ``target`` builds against the victim, the first of ``models``.

    Its goal is the recipe's own, or with a ``threshold`` that divergence of the teacher, the second, from the victim.
    """
    wrapper = victim(models, local.device)
    with _built_of(target, local) as recipe:
        built = recipe.build(wrapper, **dict(given))
    goal = built.goal_function if threshold is None else Divergence(threshold, wrapper)
    constraints = [*built.pre_transformation_constraints, *built.constraints]
    return RowAttack(goal, constraints, built.transformation, built.search_method)
