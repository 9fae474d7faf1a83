"""Catalogues of libraries: their entries as options, and another version than the one they are of."""

from __future__ import annotations

import dataclasses
import json
from typing import Literal

import pytest

from bench.errors import UsageError
from bench.options import Options, build, fields_of
from strategies import catalogues
from strategies.catalogues import Catalogue, Entry

OPTIONS = {
    "rate": {"type": "float", "default": 0.1, "meaning": "the share", "bounds": {"at_least": 0, "at_most": 1}},
    "words": {"type": "list", "default": ["a"], "meaning": "the words"},
    "path": {"type": "str", "optional": True, "default": None, "meaning": "the file"},
    "action": {"choices": ["insert", "swap"], "default": "swap", "meaning": "the change"},
}


def test_an_entry_is_options_with_types_defaults_meanings_and_bounds(tmp_path):
    entries = {"one": {"target": "m:C", "kind": "augmenter", "description": "About.", "options": OPTIONS}}
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps({"library": "pytest", "version": "1.0", "entries": entries}))
    entry = Catalogue.read(path).entries["one"]
    assert entry == Entry("m:C", "augmenter", "About.", OPTIONS)
    cls = dataclasses.make_dataclass("C", entry.fields(), bases=(Options,), kw_only=True)
    assert fields_of(cls) == {
        "rate": (float, 0.1),
        "words": (tuple[str, ...], ("a",)),
        "path": (str | None, None),
        "action": (Literal["insert", "swap"], "swap"),
    }
    assert build(cls, {"words": "b,c", "action": "insert"}, "c").words == ("b", "c")
    with pytest.raises(UsageError, match=r"rate is the share: at least 0 and at most 1, not 2"):
        build(cls, {"rate": "2"}, "c")


def test_what_is_written_is_what_is_read(tmp_path):
    entries = {"one": {"target": "m:C", "kind": "attack", "description": "Über.", "uses": ["A", "B"]}}
    path = tmp_path / "catalogue.json"
    path.write_text(Catalogue.text("pytest", entries), "utf-8")
    catalogue = Catalogue.read(path)
    assert catalogue.entries == {"one": Entry("m:C", "attack", "Über.", uses=frozenset("AB"))}
    assert catalogue.version == pytest.__version__
    assert catalogue.mismatch() is None


def test_another_version_is_said_with_what_to_type(monkeypatch):
    monkeypatch.setattr(catalogues, "version", {"lib": "2.1"}.__getitem__)
    assert Catalogue("lib", "2.1", {}).mismatch() is None
    told = Catalogue("lib", "2.0", {}).mismatch()
    assert "2.1 is installed" in told
    assert "pip install lib==2.0" in told
