"""TextAttack's own functions, keeping their answers: the same texts, several times faster. Worker processes only."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from strategies.textattack.requirements import TESTED

_KEPT = 2**16


def keep_answers() -> None:
    """Let functions of the imported TextAttack that are asked the same thing dozens of times per text remember.

    Their answers depend on their arguments alone in the tested versions; any other runs as it comes.
    """
    if version("textattack") not in TESTED:
        return
    from textattack.shared.utils import strings
    from textattack.transformations import WordInsertionRandomSynonym, WordSwapWordNet

    slow = strings.words_from_text
    chinese = re.compile("[\u4e00-\u9fff]")

    kept = functools.lru_cache(maxsize=_KEPT)(lambda piece: tuple(slow(piece)))

    def words_from_text(s: str, words_to_ignore: Sequence[str] = ()) -> list[str]:
        if words_to_ignore:
            return slow(s, list(words_to_ignore))
        if s.isascii() and s.isalnum():
            return [s]
        # What stands between spaces is split by itself, except where Chinese is cut into words first.
        return list(kept(s)) if chinese.search(s) else [word for piece in s.split() for word in kept(piece)]

    for name, module in list(sys.modules.items()):
        # Other modules have imported it by name.
        if name.partition(".")[0] == "textattack" and getattr(module, "words_from_text", None) is slow:
            module.words_from_text = words_from_text  # type: ignore[attr-defined]
    WordSwapWordNet._get_replacement_words = _kept(WordSwapWordNet._get_replacement_words)
    WordInsertionRandomSynonym._get_synonyms = _kept(WordInsertionRandomSynonym._get_synonyms)


def _kept(method: Callable[..., list[str]]) -> Callable[..., list[str]]:
    answers = functools.lru_cache(maxsize=_KEPT)(method)
    return functools.wraps(method)(lambda self, word: list(answers(self, word)))
