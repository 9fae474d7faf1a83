"""A word-level tokenizer for models trained from scratch, made from the texts at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from bench.files import digest, is_whole, whole_folder
from bench.models.load import load_tokenizer
from bench.observer import Observer, Silent

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
MASK = {"mask_token": "[MASK]"}
# transformers 5 leaves the segments out unless they are asked for.
INPUTS = ["input_ids", "token_type_ids", "attention_mask"]


def word_tokenizer(
    texts: Iterable[str], folder: Path, limit: int = 30_000, observer: Observer | None = None
) -> PreTrainedTokenizerBase:
    """Return a lower-casing tokenizer whose vocabulary is the ``limit`` most frequent words of ``texts``.

    Saved under ``folder``/<hash of inputs and vocabulary>, where a second call finds it.
    """
    counts = _frequencies(tuple(texts))
    names = [*SPECIAL.values(), *MASK.values()]
    # Ties in frequency are broken by spelling, so that the numbering is a function of the texts.
    words = sorted(counts, key=lambda word: (-counts[word], word))[: limit - len(names)]
    vocabulary = {word: i for i, word in enumerate([*names, *words])}
    home = folder / digest(INPUTS, vocabulary)
    if not is_whole(home, observer or Silent()):
        core = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
        core.normalizer = normalizers.Lowercase()
        core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        core.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
        )
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, model_input_names=INPUTS, **SPECIAL, **MASK)
        with whole_folder(home) as part:
            tokenizer.save_pretrained(part)
    return load_tokenizer(str(home))


@lru_cache(maxsize=2)
def _frequencies(texts: tuple[str, ...]) -> Counter[str]:
    """Return how often each word occurs in ``texts``, counted once where several commands run in one process."""
    split = pre_tokenizers.BertPreTokenizer()
    return Counter(word for text in texts for word, _ in split.pre_tokenize_str(text.lower()))
