"""TextAttack with the same output and less work: what its profile is full of, done once or without re-reading texts.

The library makes every candidate text by cutting the text at each of its words, and cuts the candidate again, where
one swapped word is a replaced slice. Only worker processes may call this: it changes the library's own classes.
"""

from __future__ import annotations

import functools
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from strategies.wordnet import senses

_KEPT = 2**16


def same_output_faster() -> None:
    """Replace some functions of the imported TextAttack by faster ones that return the same."""
    words_from_text = _cached_words()
    _cached_synonyms()
    _swap_by_slice(words_from_text)


def _cached_words() -> Callable[..., list[str]]:
    from textattack.shared.utils import strings

    slow = strings.words_from_text
    chinese = re.compile("[\u4e00-\u9fff]")

    @functools.lru_cache(maxsize=_KEPT)
    def kept(piece: str) -> tuple[str, ...]:
        return (piece,) if piece.isascii() and piece.isalnum() else tuple(slow(piece))

    def words_from_text(s: str, words_to_ignore: Sequence[str] = ()) -> list[str]:
        if words_to_ignore:
            return slow(s, list(words_to_ignore))
        # What stands between spaces is split by itself, except where Chinese is cut into words first.
        return list(kept(s)) if chinese.search(s) else [word for piece in s.split() for word in kept(piece)]

    for name, module in list(sys.modules.items()):
        # Other modules have imported it by name.
        if name.partition(".")[0] == "textattack" and getattr(module, "words_from_text", None) is slow:
            module.words_from_text = words_from_text  # type: ignore[attr-defined]
    return words_from_text


def _cached_synonyms() -> None:
    from textattack.shared.utils import is_one_word
    from textattack.transformations import WordInsertionRandomSynonym, WordSwapWordNet

    replacements = WordSwapWordNet._get_replacement_words

    # Sets that are filled in the library's order come out in its order.
    @functools.lru_cache(maxsize=_KEPT)
    def swaps(word: str) -> list[str]:
        names = (name for sense in senses(word) for name in sense)
        return list({name for name in names if name != word and "_" not in name and is_one_word(name)})

    @functools.lru_cache(maxsize=_KEPT)
    def insertions(word: str) -> list[str]:
        return list({name for sense in senses(word) for name in sense if name != word and name.isalpha()})

    def of_language(self: Any, word: str, random: bool = False) -> list[str]:
        return list(swaps(word)) if self.language == "eng" else replacements(self, word, random)

    WordSwapWordNet._get_replacement_words = of_language
    WordInsertionRandomSynonym._get_synonyms = lambda self, word: list(insertions(word))


def _swap_by_slice(words_from_text: Callable[..., list[str]]) -> None:
    from textattack.shared import AttackedText

    slow, slow_single = AttackedText.replace_words_at_indices, AttackedText.replace_word_at_index
    split = AttackedText.SPLIT_TOKEN

    def places(text: Any) -> list[tuple[int, int]] | None:
        """Return where each word of ``text`` starts and ends, None where only the library knows what happens."""
        known = text.__dict__.get("_places")
        if known is None:
            known = text.__dict__["_places"] = (find(text) or [],)
        return known[0] or None

    def find(text: Any) -> list[tuple[int, int]] | None:
        if len(text._text_input) != 1 or split in text.text:
            return None
        whole, found, end = text.text, [], 0
        for word in text.words:
            start = whole.find(word, end)
            # Words of Chinese, once alone, may be cut into several.
            if start < 0 or len(words_from_text(word)) != 1:
                return None
            end = start + len(word)
            found.append((start, end))
        return found

    def replace_words_at_indices(self: Any, indices: Any, new_words: Any) -> Any:
        """Return a new AttackedText object where the words at ``indices`` are replaced; see the library's."""
        spans = places(self)
        if (
            spans is None
            or len(indices) != len(new_words)
            or not all(isinstance(word, str) for word in new_words)
            or not all(0 <= i < len(spans) for i in indices)
        ):
            return slow(self, indices, new_words)
        words, text = self.words, self.text
        changes = {int(i): word for i, word in zip(indices, new_words, strict=True)}
        modified, newly = set(self.attack_attrs["modified_indices"]), set[int]()
        original = self.attack_attrs["original_index_map"].copy()
        made, end, shift = "", 0, 0
        for i in sorted(changes):
            old, new = words[i], changes[i]
            if new == old:
                continue
            start, stop = spans[i]
            made += text[end:start]
            end = stop
            found = words_from_text(new)
            more = len(found) - 1
            if more:
                modified = {j + more if j > i else j for j in modified if j != i}
                original = original.copy()
                if more == -1:
                    original[original == i] = -1
                original[original > i] += more
                if more > 0 and old != found[0]:
                    original[original == i] += more
            for j in range(i + shift, i + shift + len(found)):
                modified.add(j)
                newly.add(j)
            shift += more
            if not found and end < len(text):
                # With a word goes the space before it, with the first word the space after it.
                if i == 0:
                    end += text[end] == " "
                elif not made:
                    return slow(self, indices, new_words)
                elif made[-1] == " ":
                    made = made[:-1]
            made += new
        made += text[end:]
        return slow(self, indices, new_words) if split in made else candidate(self, made, modified, newly, original)

    def replace_word_at_index(self: Any, index: Any, new_word: Any) -> Any:
        """Return a new AttackedText object where the word at ``index`` is replaced; see the library's."""
        spans = places(self)
        if spans is not None and isinstance(new_word, str) and 0 <= index < len(spans):
            index = int(index)
            if new_word != self.words[index] and len(words_from_text(new_word)) == 1:
                start, stop = spans[index]
                text = self.text
                made = f"{text[:start]}{new_word}{text[stop:]}"
                if split not in made:
                    attributes = self.attack_attrs
                    modified = attributes["modified_indices"] | {index}
                    return candidate(self, made, modified, {index}, attributes["original_index_map"].copy())
        return slow_single(self, index, new_word)

    def candidate(text: Any, made: str, modified: set[int], newly: set[int], original: Any) -> Any:
        """Return the text ``made`` of ``text``."""
        attributes = text.attack_attrs
        names = {"label_names": attributes["label_names"]} if "label_names" in attributes else {}
        # Not by the constructor, which counts the words of a text that in most cases nobody looks at again.
        new = AttackedText.__new__(AttackedText)
        new.__dict__.update(
            _text_input=OrderedDict(zip(text._text_input, (made,), strict=True)),
            _words=None,
            _words_per_input=None,
            _pos_tags=None,
            _ner_tags=None,
            attack_attrs={
                **names,
                "newly_modified_indices": newly,
                "previous_attacked_text": text,
                "modified_indices": modified,
                "original_index_map": original,
            },
        )
        return new

    AttackedText.replace_words_at_indices = replace_words_at_indices
    AttackedText.replace_word_at_index = replace_word_at_index
