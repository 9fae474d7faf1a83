"""Which words of a text a strategy changed."""

from __future__ import annotations

import difflib


def changes(old: str, new: str) -> list[tuple[str, str]]:
    """Return ``new`` beside ``old`` by words: pieces ("same" | "out" | "in", words) in reading order.

    A change is what was left out, then what was put in. Texts that differ in their spaces only come out as one "same".
    """
    one, other = old.split(), new.split()
    pieces = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(("same", " ".join(one[i:j])))
            continue
        if i < j:
            pieces.append(("out", " ".join(one[i:j])))
        if k < m:
            pieces.append(("in", " ".join(other[k:m])))
    return pieces
