"""What runs were made with, in words: the teacher, the student and the recipe of a specification."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from bench.settings import WITHOUT_EFFECT, Recipe

_SAID = ("epochs", "batch_size", "batch_tokens", "lr", "method", "selection")
"""Fields of a recipe that have words of their own, the last in a line of its own."""


@lru_cache
def made_with(spec: str) -> dict[str, str]:
    """Return teacher, student and recipe of ``spec``, the JSON of the settings that took effect, each in words.

    A part that an older record lacks is left out. A record may hold anything in the place of a setting.
    """
    sections = msgspec.json.decode(spec)
    teacher, student, recipe = (_table(sections.get(name)) for name in ("teacher", "student", "recipe"))
    words = {}
    if teacher:
        given = teacher.get("finetuned")
        words["teacher"] = _shown(given) if given else ", ".join((_model(teacher), *_training(teacher)))
    if student:
        words["student"] = _model(student)
    if recipe:
        words["recipe"] = ", ".join((_shown(recipe.get("method", "kd")), *_training(recipe), *_unusual(recipe)))
    return words


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ":".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _model(section: Mapping[str, Any]) -> str:
    """Return ``"roberta-large"``, ``"3 layers of distilbert"`` or ``"bert from scratch (2 layers of 64)"``."""
    name, layers = section.get("model", ""), section.get("layers")
    if name == "scratch":
        shape = _table(section.get("shape"))
        size = f" ({_layers(shape.get('num_hidden_layers'))} of {_shown(shape.get('hidden_size'))})"
        return f"{_shown(shape.get('model_type', 'bert'))} from scratch{size if 'hidden_size' in shape else ''}"
    name = "the encoder that the teacher started from" if name == "teacher" else _shown(name)
    return f"{_layers(layers)} of {name}" if layers else name


def _layers(layers: Any) -> str:
    if isinstance(layers, list):
        return f"layers {', '.join(map(_shown, layers))}"
    return f"{_shown(layers)} layer{'' if layers == 1 else 's'}"


def _training(section: Mapping[str, Any]) -> Iterator[str]:
    epochs, tokens, size, rate = (section.get(name) for name in ("epochs", "batch_tokens", "batch_size", "lr"))
    if epochs is not None:
        yield f"{_shown(epochs)} epoch{'' if epochs == 1 else 's'}"
    if tokens is not None:
        yield f"batches of {_shown(tokens)} word pieces"
    elif size is not None:
        yield f"batches of {_shown(size)}"
    if rate is not None:
        yield f"learning rate {_shown(rate)}"


def _unusual(recipe: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of a recipe is not as it is where nothing is said."""
    usual = msgspec.json.decode(msgspec.json.encode(Recipe()))
    for field in dataclasses.fields(Recipe):
        name = field.name
        if name not in (*_SAID, *WITHOUT_EFFECT["recipe"]) and recipe.get(name, usual[name]) != usual[name]:
            yield f"{name.replace('_', ' ')} {_shown(recipe[name])}"
