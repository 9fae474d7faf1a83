"""nlpaug with the same output and less work: a document's words are objects without what only its change log tells."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any


class _Token:
    """nlpaug's ``Token`` by plain attributes, without its properties and ``to_dict``."""

    __slots__ = ("action", "change_seq", "start_pos", "token")

    def __init__(self, token: str, start_pos: int = -1, action: str = "", change_seq: int = 0) -> None:
        self.token, self.start_pos, self.action, self.change_seq = token, start_pos, action, change_seq


@cache
def same_output_faster() -> None:
    """Replace the library's word objects for this process: only strategies may, whose augmenters log no changes."""
    document, history = (importlib.import_module(f"nlpaug.util.doc.{name}") for name in ("doc", "change_log"))
    for module in (document, history):
        module.Token = _Token  # type: ignore[attr-defined]
    log = document.ChangeLog

    def token2obj(self: Any, tokens: Any) -> list[Any]:
        # The library also searches the text for where each of them starts.
        return [log(orig_token=_Token(token)) for token in tokens]

    document.Doc.token2obj = token2obj
