from __future__ import annotations

from bench.models.load import load_tokenizer
from bench.models.tokenizer import word_tokenizer

TEXTS = ["The cat, the dog", "the CAT runs", "A zebra"]
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_the_vocabulary_is_the_words_by_frequency_then_spelling(tmp_path):
    made = word_tokenizer(TEXTS, tmp_path)
    words = sorted(made.get_vocab(), key=made.get_vocab().get)
    assert words == [*MARKS, "the", "cat", ",", "a", "dog", "runs", "zebra"]
    assert sorted(word_tokenizer(TEXTS, tmp_path, limit=7).get_vocab()) == sorted([*MARKS, "the", "cat"])


def test_pairs_get_marks_and_segments_also_when_loaded_again(tmp_path):
    made = word_tokenizer(TEXTS, tmp_path)
    (home,) = tmp_path.iterdir()
    load_tokenizer.cache_clear()
    for tokenizer in (made, load_tokenizer(str(home))):
        encoded = tokenizer("the Cat", "sings")
        assert tokenizer.convert_ids_to_tokens(encoded["input_ids"]) == [
            *("[CLS]", "the", "cat", "[SEP]"),
            *("[UNK]", "[SEP]"),
        ]
        assert encoded["token_type_ids"] == [0, 0, 0, 0, 1, 1]
        assert (tokenizer.mask_token, tokenizer.pad_token_id) == ("[MASK]", 0)


def test_the_same_texts_in_another_order_are_the_same_tokenizer(tmp_path):
    first, again = word_tokenizer(TEXTS, tmp_path), word_tokenizer(reversed(TEXTS), tmp_path)
    assert first.get_vocab() == again.get_vocab()
    assert len(list(tmp_path.iterdir())) == 1
    word_tokenizer([*TEXTS, "more"], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
