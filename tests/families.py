"""Tiny random models of five architectures, and a tokenizer for them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForSequenceClassification,
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
)

VOCAB, LENGTH, CLASSES = 50, 9, 3
START, PAD, END, UNK, MASK = 0, 1, 2, 3, 49
SPECIAL = [START, PAD, END, UNK, MASK]

_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
FAMILIES: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "bert": (BertConfig, BertForSequenceClassification, BertForMaskedLM, {**_SIZES, **_NO_DROPOUT}),
    "roberta": (
        RobertaConfig,
        RobertaForSequenceClassification,
        RobertaForMaskedLM,
        {**_SIZES, **_NO_DROPOUT, "type_vocab_size": 1},
    ),
    "distilbert": (
        DistilBertConfig,
        DistilBertForSequenceClassification,
        DistilBertForMaskedLM,
        {"dim": 16, "n_heads": 2, "hidden_dim": 24}
        | dict.fromkeys(("dropout", "attention_dropout", "seq_classif_dropout"), 0.0),
    ),
    "electra": (
        ElectraConfig,
        ElectraForSequenceClassification,
        ElectraForMaskedLM,
        {**_SIZES, **_NO_DROPOUT, "embedding_size": 10, "summary_last_dropout": 0.0},
    ),
    "mpnet": (MPNetConfig, MPNetForSequenceClassification, MPNetForMaskedLM, {**_SIZES, **_NO_DROPOUT}),
}
every_family = pytest.mark.parametrize("family", FAMILIES)


def build(family: str, head: str, *, seed: int, layers: int = 1, labels: int = CLASSES) -> Any:
    """A random model with weights large enough for its answers to differ from text to text."""
    config_class, classifier, masked_lm, sizes = FAMILIES[family]
    depth = {"n_layers" if family == "distilbert" else "num_hidden_layers": layers}
    config = config_class(
        vocab_size=VOCAB,
        max_position_embeddings=24,
        pad_token_id=PAD,
        num_labels=labels,
        initializer_range=0.3,
        **sizes,
        **depth,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = (classifier if head == "classifier" else masked_lm)(config).double().eval()
        # Biases, norms and (before release 5) some heads start at constants, which would hide a missing term.
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer whose words are w4 … w48, with the special tokens above."""
    special = {"<s>": START, "<pad>": PAD, "</s>": END, "<unk>": UNK, "<mask>": MASK}
    core = Tokenizer(models.WordLevel({**special, **{f"w{i}": i for i in range(4, MASK)}}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", START), ("</s>", END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        cls_token="<s>",
        pad_token="<pad>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
