"""nlpaug's augmenters that ask a model: for single words, or for a text translated, summed up or continued."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

from bench import Context, option
from bench.errors import BenchError
from bench.resources import Resource, hub_model
from bench.rewriter import Reads
from strategies.nlpaug.augmenters import Nlpaug

# nlpaug tells tokenizers by their special tokens, and takes a name for that.
_TYPES = {"[MASK]": "bert", "<mask>": "roberta"}


@dataclass(kw_only=True)
class Neural(Nlpaug):
    """Augmenters that ask a model, whose sampling is seeded too."""

    libraries: ClassVar[tuple[str, ...]] = ("nlpaug", "transformers")

    def build(self, context: Context, **options: Any) -> Any:
        # Without force_reload the first model of its folder's name ever read serves all folders of that name.
        return super().build(context, device=context.device, force_reload=True, **options)

    def seed(self, rng: random.Random) -> None:
        import torch

        super().seed(rng)
        torch.manual_seed(rng.getrandbits(63))


@dataclass(kw_only=True)
class Contextual(Neural):
    """Asks the generator, or the masked LM it is told, with one word masked at a time."""

    model_path: str | None = option(None, "the masked LM's folder or hub name; none: the generator")

    def resources(self) -> Sequence[Resource]:
        transformers_4 = Resource(
            "transformers 4 (nlpaug calls what 5 no longer has)",
            lambda: int(version("transformers").partition(".")[0]) < 5,
            "pip install 'transformers>=4.57.1,<5' (mlm-words does the like with 4 and 5)",
        )
        return (transformers_4, *([hub_model(self.model_path)] if self.model_path else ()))

    def reads(self) -> tuple[Reads, ...]:
        return () if self.model_path else ("generator",)

    def build(self, context: Context, **options: Any) -> Any:
        from bench.models.load import load_masked_lm, load_tokenizer, locate

        where = locate(self.model_path) if self.model_path else context.models["generator"]
        mask = load_tokenizer(where).mask_token
        if mask not in _TYPES:
            raise BenchError(
                f"{self.name} knows masked LMs with [MASK] or <mask>, not {where} with {mask}; try mlm-words"
            )
        if not load_masked_lm(where, seed=0)[1]:
            raise BenchError(f"{where} is no masked LM: its head is missing; name one with model_path=FOLDER")
        return super().build(context, model_path=where, model_type=_TYPES[mask], **options)


@dataclass(kw_only=True)
class BackTranslation(Neural):
    """Has two models translate the text into another language and back."""

    from_model_name: str
    to_model_name: str
    refresh: int = option(
        0,
        "the number of epochs after which all texts are rewritten anew; 0: never, as the translators give one answer",
        at_least=0,
    )

    def resources(self) -> Sequence[Resource]:
        return (hub_model(self.from_model_name), hub_model(self.to_model_name))


@dataclass(kw_only=True)
class Summary(Neural):
    """Has a T5 or BART model sum the text up."""

    model_path: str

    def resources(self) -> Sequence[Resource]:
        return (hub_model(self.model_path),)


@dataclass(kw_only=True)
class Continuation(Neural):
    """Has a language model go on with the text, in the one of the library's two ways that heeds the options."""

    model_path: str
    max_length: int

    def resources(self) -> Sequence[Resource]:
        return (hub_model(self.model_path),)

    def build(self, context: Context, **options: Any) -> Any:
        augmenter = super().build(context, model_type="gpt2", use_custom_api=False, **options)
        if hasattr(pipeline := augmenter.model.model, "generation_config"):
            # The pipeline of transformers 4 has a length of its own, which goes before the library's max_length.
            pipeline.generation_config.max_new_tokens = None
        return augmenter

    def change(self, augmenter: Any, text: str) -> str:
        # With no room left for a word, transformers fails.
        full = len(augmenter.model.model.tokenizer(text)["input_ids"]) >= self.max_length
        return text if full else super().change(augmenter, text)
