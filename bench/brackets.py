"""Lists whose items may hold brackets, taken apart as text: nothing that they name is looked up."""

from __future__ import annotations

from bench.errors import UsageError, quoted

_DEEPEST = 20


def split_list(text: str, separator: str = ",") -> list[str]:
    """Split ``a,b[c=1,d=2],e(f,g)`` at the commas outside brackets; UsageError where one is not closed."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if depth < 0:
            break
        if depth > _DEEPEST:
            raise UsageError(f"{quoted(text)} has brackets more than {_DEEPEST} deep")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth != 0:
        raise UsageError(f"the brackets of {text!r} do not match")
    return [part.strip() for part in parts if part.strip()]
