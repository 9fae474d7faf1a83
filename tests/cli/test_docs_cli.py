from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys

import msgspec
import pytest
from click.testing import CliRunner

from bench.cli import docs, main, pages
from bench.data.custom import Files, TaskFile
from bench.errors import BenchError
from bench.registry import targets
from bench.reporting import schema
from bench.settings import Settings
from bench.skeletons import word_dropout

# What a browser loads by itself. A link to elsewhere is none of it.
LOADED = re.compile(r"<(?:script|img|iframe|link|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")


def bench(*arguments):
    return CliRunner().invoke(main, ["docs", *arguments])


def shown(topic):
    result = bench(topic)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_without_a_topic_all_are_listed():
    lines = bench().stdout.splitlines()
    assert [line.split()[0] for line in lines if line and not line.startswith(" ")][: len(pages.WRITTEN)] == list(
        pages.WRITTEN
    )
    listed = " ".join(bench().stdout.split())
    assert all(name in listed for name in targets())


def test_a_page_shows_the_picture_in_characters_and_links_as_commands(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = shown("concepts")
    assert "clean batch x ───┬──► teacher (frozen)" in text
    assert "bench docs results" in text
    assert ".md" not in text
    assert "<!--" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_an_unknown_topic_shows_the_nearest():
    result = bench("consepts")
    assert result.exit_code == 2
    assert "unknown topic 'consepts'; did you mean 'concepts'?" in result.stderr


def test_a_strategy_has_a_page_of_its_docstring_and_options():
    text = " ".join(shown("eda").split())
    assert text.startswith("eda Easy data augmentation")
    assert "Wei & Zou" in text
    assert "alpha=0.1 (float, above 0 and at most 1): the share of the words that an operation draws" in text
    assert "strength=SHARE sets alpha to 0.87 × SHARE" in text


def test_a_strategy_from_a_file_has_a_page(tmp_path):
    (tmp_path / "mine.py").write_bytes(inspect.getsource(word_dropout).encode())
    text = shown(f"{tmp_path / 'mine.py'}:WordDropout")
    assert "Words left out at random" in text
    assert "rate=0.15 (float, above 0 and at most 1): the share of the words left out" in " ".join(text.split())
    assert "no such strategy file" in bench(f"{tmp_path / 'other.py'}:WordDropout").stderr


def test_a_family_has_a_section_per_member_also_where_its_library_is_missing():
    text = pages.page("textattack")
    assert text.count("\n## textattack:") > 30
    assert "\n## textattack:deepwordbug\n" in text


@pytest.mark.parametrize(
    ("topic", "cls", "prefix"),
    [
        ("tasks", TaskFile, ""),
        ("tasks", Files, ""),
        *(
            ("settings", section.default_factory, f"{section.name}.")
            for section in dataclasses.fields(Settings)
            if dataclasses.is_dataclass(section.default_factory)
        ),
    ],
)
def test_a_page_names_every_option_of_the_code(topic, cls, prefix):
    text = pages.page(topic)
    for field in dataclasses.fields(cls):
        assert re.search(rf"^- `{prefix}{field.name}\b.*: {re.escape(field.metadata['meaning'])}$", text, re.M)


def test_the_page_on_results_names_every_field_of_a_record():
    text = pages.page("results")
    parts = [thing for thing in vars(schema).values() if isinstance(thing, type) and issubclass(thing, msgspec.Struct)]
    names = [field.name for part in parts for field in msgspec.structs.fields(part)]
    assert len(names) > 60
    assert "file view" not in text
    assert [name for name in names if f"\n- `{name}`: " not in text] == []


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from bench.cli import main; main(['docs', 'settings'], standalone_mode=False); "
        "print([m for m in ('torch', 'pandas', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    result = bench("--build", str(folder))
    assert result.exit_code == 0, result.output
    return folder


def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(site):
    html = {path.relative_to(site).as_posix(): path.read_text("utf-8") for path in site.rglob("*.html")}
    assert {"index.html", "concepts.html", "strategies/mate-kd.html", "strategies/composition.html"} <= html.keys()
    assert 'src="update.svg"' in html["concepts.html"]
    assert {name: LOADED.findall(text) for name, text in html.items() if LOADED.search(text)} == {}
    styles = [path.read_text("utf-8") for path in site.rglob("*.css")]
    assert [style for style in styles if re.search(r"url\([\"']?(?:https?:)?//", style)] == []


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path, monkeypatch):
    pytest.importorskip("material", reason="needs the extra docs")
    real = pages.page
    monkeypatch.setattr(pages, "page", lambda topic: real(topic) + "\n[more](nowhere.md)\n")
    with pytest.raises(BenchError, match=r"nowhere\.md"):
        docs.build(tmp_path / "site")


def test_a_topic_beside_build_is_a_wrong_request(tmp_path):
    result = bench("concepts", "--build", str(tmp_path / "site"))
    assert result.exit_code == 2
    assert not (tmp_path / "site").exists()
