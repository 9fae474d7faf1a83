"""`bench docs`: the documentation in the terminal, and the same pages as a site."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from bench.cli import pages
from bench.cli.entries import column, entry, show, width
from bench.errors import BenchError, UsageError

# A picture, and behind it the same in characters, which only the terminal shows.
_PICTURE = re.compile(r"^!\[.*\]\(.*\)\n\n<!-- in characters\n(.*?)^-->$", re.M | re.S)
_LINK = re.compile(r"\[([^\]]+)\]\((?:strategies/)?([\w-]+)\.md(?:#[\w-]+)?\)")


@click.command(epilog="Example: bench docs concepts")
@click.argument("topic", required=False)
@click.option(
    "--build",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write all pages as a site into this folder (needs the extra docs).",
)
def docs(topic: str | None, folder: Path | None) -> None:
    """Read the documentation: the list of topics, or the page on TOPIC. Every strategy is a topic too."""
    if folder is not None:
        if topic is not None:
            raise UsageError("--build writes all pages: leave out the topic")
        build(folder)
    elif topic is not None:
        show(_in_terminal(pages.page(topic)))
    else:
        rows = [{"name": name, "about": pages.summary(pages.page(name))} for name in pages.WRITTEN]
        listed = [entry(row["name"], [row["about"]], column(rows)) for row in rows]
        every = entry("strategies", [", ".join(pages.strategies())], column(rows))
        show("\n".join([*listed, every, "", "a page: bench docs TOPIC; all as a site: bench docs --build FOLDER"]))


def _in_terminal(text: str) -> str:
    """Return a page as the terminal shows it: the picture in characters, links as commands."""
    from rich.console import Console
    from rich.markdown import Markdown

    text = _LINK.sub(r"\1 (`bench docs \2`)", _PICTURE.sub(r"```text\n\1```", text))
    on_terminal = sys.stdout.isatty()
    console = Console(width=min(width(0), 100), force_terminal=on_terminal)
    with console.capture() as written:
        console.print(Markdown(text, hyperlinks=on_terminal))
    # Lines come padded to the full width.
    return "\n".join(line.rstrip() for line in written.get().splitlines()).strip("\n")


def build(folder: Path) -> None:
    """Write the site into ``folder``; a link that leads nowhere is a BenchError."""
    with tempfile.TemporaryDirectory(prefix="bench-docs-") as temporary:
        source = Path(temporary, "docs")
        source.mkdir()
        _write_pages(source)
        settings = (pages.FOLDER / "mkdocs.yml").read_text("utf-8")
        # JSON is YAML.
        Path(temporary, "mkdocs.yml").write_text(f"{settings}nav: {json.dumps(_navigation())}\n", "utf-8")
        places = ["--config-file", f"{temporary}/mkdocs.yml", "--site-dir", str(folder.resolve())]
        # Not --quiet: the warnings that strict mode counts are then not counted.
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", *places]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        output = "\n".join(line for line in done.stderr.splitlines() if line and not line.startswith("INFO"))
        hint = "; type: pip install 'distil-augment-bench[docs]'" if "No module named" in output else ""
        raise BenchError(f"the site was not built: {output}{hint}")
    click.echo(f"{folder / 'index.html'}")


def _write_pages(source: Path) -> None:
    """Write every page as Markdown into ``source``, a start page that lists them, and the pictures."""
    for picture in pages.FOLDER.glob("*.svg"):
        shutil.copy(picture, source)
    (source / "strategies").mkdir()
    lines = [(pages.FOLDER / "index.md").read_text("utf-8")]
    for topic, file in _files().items():
        text = pages.page(topic)
        (source / file).write_text(text, "utf-8")
        lines.append(f"- [{topic}]({file}): {pages.summary(text)}")
    (source / "index.md").write_text("\n".join(lines) + "\n", "utf-8")


def _files() -> dict[str, str]:
    """Return the file of each topic's page in the site."""
    return {topic: f"{topic}.md" for topic in pages.WRITTEN} | {
        topic: f"strategies/{file}.md" for topic, file in pages.strategies().items()
    }


def _navigation() -> list[dict[str, Any]]:
    """Return the site's table of contents, as mkdocs takes it."""
    files = _files()
    written = [{pages.title(pages.page(topic)): files[topic]} for topic in pages.WRITTEN]
    return [{"Start": "index.md"}, *written, {"Strategies": [{topic: files[topic]} for topic in pages.strategies()]}]
