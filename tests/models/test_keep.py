from __future__ import annotations

from families import tokenizer
from tiny import make_models

from bench.models.keep import save


def test_what_is_saved_does_not_depend_on_what_the_tokenizer_was_used_for(tmp_path):
    student, words = make_models().student, tokenizer()
    save(student, words, tmp_path / "before")
    words("w5 w6 w7 w8", truncation=True, max_length=3, padding="max_length")
    save(student, words, tmp_path / "after")
    files = sorted(path.name for path in (tmp_path / "before").iterdir())
    assert "tokenizer.json" in files
    for name in files:
        assert (tmp_path / "before" / name).read_bytes() == (tmp_path / "after" / name).read_bytes(), name
