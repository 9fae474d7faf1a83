"""nlpaug's augmenters that have a model write text: translated there and back, summed up, continued."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bench.resources import Resource, file, hub_model, python_package
from bench.strategy import Context
from strategies.nlpaug.augmenters import Nlpaug

if TYPE_CHECKING:
    from bench.data.tasks import Task


@dataclass(kw_only=True)
class _Generative(Nlpaug):
    """Augmenters that have a model write the text; its sampling is seeded too."""

    libraries: ClassVar[tuple[str, ...]] = ("nlpaug", "transformers")

    def build(self, context: Context, **options: Any) -> Any:
        return super().build(context, device=context.device, force_reload=True, **options)

    def change(self, made: Any, text: str, rng: random.Random) -> str:
        import torch

        torch.manual_seed(rng.getrandbits(63))
        return super().change(made, text, rng)


@dataclass(kw_only=True)
class BackTranslation(_Generative):
    """Translate into another language and back, by two models."""

    def resources(self) -> Sequence[Resource]:
        return tuple(hub_model(getattr(self, f"{side}_model_name")) for side in ("from", "to"))

    def change(self, made: Any, text: str, rng: random.Random) -> str:
        import torch

        # The library reads its batches in a process of their own, which a worker process may not start.
        model = made.model
        for tokenizer, translator in (
            (model.src_tokenizer, model.src_model),
            (model.tgt_tokenizer, model.tgt_model),
        ):
            read = tokenizer([text], truncation=True, return_tensors="pt").to(translator.device)
            with torch.no_grad():
                ids = translator.generate(
                    input_ids=read["input_ids"], attention_mask=read["attention_mask"], max_length=model.max_length
                )
            text = tokenizer.batch_decode(ids, skip_special_tokens=True)[0]
        return text


@dataclass(kw_only=True)
class Summary(_Generative):
    """Replace the text by a summary that a T5 or BART model writes."""

    def resources(self) -> Sequence[Resource]:
        return (hub_model(getattr(self, "model_path")),)  # noqa: B009 - made from the library's signature


@dataclass(kw_only=True)
class Continuation(_Generative):
    """Append what a GPT-2 model writes after the text."""

    decided = ("model_type",)

    def resources(self) -> Sequence[Resource]:
        return (hub_model(getattr(self, "model_path")),)  # noqa: B009 - made from the library's signature

    def build(self, context: Context, **options: Any) -> Any:
        # The library's other way of calling the model reads its first position, and none of the options.
        return super().build(context, use_custom_api=False, **options)

    def change(self, made: Any, text: str, rng: random.Random) -> str:
        import torch

        torch.manual_seed(rng.getrandbits(63))
        options = {name: getattr(self, name) for name in ("min_length", "max_length", "temperature", "top_k", "top_p")}
        # The library's pipeline reads its batches in a process of their own (see BackTranslation).
        tokenizer, model = made.model.model.tokenizer, made.model.model.model
        read = tokenizer([text], return_tensors="pt").to(model.device)
        length = read["input_ids"].shape[1]
        if length >= options["max_length"]:
            return text
        with torch.no_grad():
            ids = model.generate(
                input_ids=read["input_ids"],
                attention_mask=read["attention_mask"],
                do_sample=True,
                max_new_tokens=None,
                pad_token_id=tokenizer.eos_token_id,
                **options,
            )
        return text + tokenizer.decode(ids[0, length:], skip_special_tokens=True)


@dataclass(kw_only=True)
class Lambada(_Generative):
    """Write new texts for a label (LAMBADA): rewrites none, so every task skips it."""

    libraries = ("nlpaug", "transformers", "simpletransformers")

    def supports(self, task: Task) -> str | None:
        return "LAMBADA writes new texts for a label and rewrites none"

    def resources(self) -> Sequence[Resource]:
        package = python_package("simpletransformers", "simpletransformers")
        path = getattr(self, "model_dir", None)
        return (
            package,
            file(path, "train it with nlpaug's script", path) if path else self.lacking("model_dir", "DIR"),
        )
