"""A language model run here that answers prompts, one by one, each as a function of the prompt and the seed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

from bench.files import digest
from bench.models.load import explained, load_config, load_tokenizer, locate, seeded
from strategies.llm.answers import Answer, Answers, Question

if TYPE_CHECKING:
    from bench.observer import Observer


def answer_here(
    where: str,
    prompts: Iterable[tuple[Question, str]],
    answers: Answers,
    total: int,
    sampling: dict[str, Any],
    device: str,
    observer: Observer,
) -> None:
    """Add the answers of the model at ``where``, causal or encoder-decoder, to ``answers``, each when it is made.

    ``sampling`` holds temperature, max_new_tokens and seed.
    """
    tokenizer, model = _loaded(locate(where), device)
    positions = getattr(model.config, "max_position_embeddings", None) or 0
    room = positions if positions > 0 else math.inf
    for done, (question, prompt) in enumerate(prompts, start=1):
        if tokenizer.chat_template:
            turns = [{"role": "user", "content": prompt}]
            prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=not tokenizer.chat_template).to(device)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        own = {name: value for name, value in model.generation_config.to_dict().items() if name.endswith("_token_id")}
        # Beyond what the model reads, and there is no answer: the text stays.
        if ids.shape[1] + sampling["max_new_tokens"] > room:
            answers.add(question, Answer(question[0], 0, 0))
            continue
        limits = {name: value for name, value in sampling.items() if name != "seed"}
        config = GenerationConfig(**{**own, **limits}, do_sample=True, top_k=0, min_new_tokens=1)
        if config.pad_token_id is None:
            config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        with seeded(int(digest(prompt, question[1], sampling["seed"]), 16) % 2**31), torch.inference_mode():
            drawn = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[0]
        new = drawn if model.config.is_encoder_decoder else drawn[ids.shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True).strip()
        answers.add(question, Answer(text or None, ids.shape[1], len(new)))
        observer.update("answers", done, total)


@lru_cache(maxsize=1)
def _loaded(where: str, device: str) -> tuple[Any, Any]:
    family = AutoModelForSeq2SeqLM if load_config(where).is_encoder_decoder else AutoModelForCausalLM
    with explained(where) as source:
        model = family.from_pretrained(source, trust_remote_code=False).float().eval().to(device)
    return load_tokenizer(where), model
