"""Writes ``catalogue.json``, by importing the installed nlpaug: ``python -m strategies.nlpaug.catalogue``.

A developer's command, for a new release of the library; what is run with reads the file alone. Names and defaults are
the library's; what they mean, their bounds, and types that no default tells, come from ``meanings.toml``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from nlpaug import Augmenter
from nlpaug.util import Action

from bench.toml import tomllib
from strategies.catalogues import Catalogue

# What belongs to the harness (device, batches, tokenisation that keeps the text), or returns other than one text.
_NOT_OPTIONS = re.compile(
    "name|verbose|silence|device|batch_size|force_reload|use_custom_api|(reverse_)?tokenizer|generate_all_combinations|"
    r"WordEmbsAug\.model|Contextual\w+\.model_type"
)
MEANINGS = Path(__file__).with_name("meanings.toml")


@cache
def _meanings() -> dict[str, dict[str, Any]]:
    return tomllib.loads(MEANINGS.read_text("utf-8"))


def entries() -> dict[str, dict[str, Any]]:
    """Return what the catalogue says of the installed library's augmenters that rewrite a text."""
    return {_member(cls.__name__): _entry(cls) for cls in _classes()}


def _classes() -> Iterator[Any]:
    for level in ("char", "word", "sentence"):
        package = import_module(f"nlpaug.augmenter.{level}")
        for cls in vars(package).values():
            is_member = inspect.isclass(cls) and issubclass(cls, Augmenter) and cls.__name__.endswith("Aug")
            # LAMBADA writes new texts for a label and rewrites none.
            if is_member and cls.__module__.startswith(package.__name__) and cls.__name__ != "LambadaAug":
                yield cls


def _member(cls: str) -> str:
    """Return an augmenter's name here: its class without "Aug", in kebab case ("KeyboardAug": "keyboard").

    "WordEmbs" after another word is left out: ContextualWordEmbsAug is "contextual".
    """
    short = re.sub(r"(?<=[a-z])WordEmbs", "", cls.removesuffix("Aug"))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", short).lower()


def _entry(cls: Any) -> dict[str, Any]:
    options = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if not any(map(_NOT_OPTIONS.fullmatch, (name, f"{cls.__name__}.{name}"))):
            options[name] = _option(cls, name, parameter.default)
    if len(options.get("action", {}).get("choices", "ab")) < 2:
        del options["action"]
    return {
        "target": f"{cls.__module__}:{cls.__qualname__}",
        "kind": "augmenter",
        "description": _meanings()["descriptions"][cls.__name__],
        "options": options,
    }


def _option(cls: Any, name: str, default: Any) -> dict[str, Any]:
    meanings = _meanings()["options"]
    about = meanings.get(f"{cls.__name__}.{name}") or meanings.get(name)
    if about is None:
        raise SystemExit(f"say in {MEANINGS} what the option {name!r} of {cls.__name__} means")
    if name == "action":
        # An augmenter does what it has a method for.
        about = {**about, "choices": [action for action in Action.getall() if action in vars(cls)]}
    default = None if default is inspect.Parameter.empty else default
    kind = {} if "choices" in about else {"type": type(default).__name__}
    return {**kind, "default": default, **about}


if __name__ == "__main__":
    Path(__file__).with_suffix(".json").write_text(Catalogue.text("nlpaug", entries()), "utf-8")
