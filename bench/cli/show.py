"""`bench show`: one run in words."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bench.cli.choices import format_option, results_option
from bench.cli.entries import paragraph
from bench.cli.entries import show as print_paged
from bench.cli.found import found
from bench.errors import printable


@click.command(epilog="Example: bench show 38464ef1")
@click.argument("run")
@results_option
@format_option
def show(run: str, results: Path, form: str) -> None:
    """Say all about one run: what was run, scores, cost, its adversary, its texts, and where it comes from.

    RUN is named by the first digits of its id (the end of its folder's name) or by its folder, which may be of
    other results. As JSON it is the record itself.
    """
    from bench.reporting.one_run import described

    one = found(results, run)
    if form == "json":
        click.echo(json.dumps(one.tree, indent=1))
        return
    blocks = []
    for heading, lines in described(one.record, one.folder).items():
        indent = 0 if heading == "run" else 2
        paragraphs = [paragraph(printable(line), indent, 4) for line in lines]
        blocks.append("\n".join(paragraphs if heading == "run" else [heading, *paragraphs]))
    blocks[0] += "\n" + printable(str(one.folder))
    print_paged("\n\n".join(blocks))
