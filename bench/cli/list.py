"""`bench list`: the strategies, tasks and presets there are, without importing anything heavy."""

from __future__ import annotations

import re
from typing import Any

import click

from bench.brackets import matching
from bench.cli.choices import format_option
from bench.cli.entries import cited, column, entry, option_lines, paragraph, print_json, show
from bench.cli.list_presets import presets
from bench.cli.list_tasks import tasks
from bench.errors import unknown


class _Kinds(click.Group):
    """A group whose unknown commands get the nearest match, as everywhere else."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the kind asked for; UsageError names the nearest or all of them."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown("list", args[0], self.commands)
        return super().resolve_command(ctx, args)


@click.group(name="list", cls=_Kinds, epilog="Example: bench list strategies")
def list_() -> None:
    """List strategies, tasks or presets."""


@list_.command(
    short_help="What each is, and whether it can run here.", epilog="Example: bench list strategies 'nlpaug:*' eda"
)
@click.argument("names", nargs=-1)
@click.option("--ready", is_flag=True, help="Only those that lack nothing on this machine.")
@click.option("-v", "--verbose", is_flag=True, help="A page on each, as on a strategy that NAMES gives by name.")
@format_option
def strategies(names: tuple[str, ...], ready: bool, verbose: bool, form: str) -> None:
    """List the strategies: what each is, and whether it is ready or what it lacks here.

    NAMES choose some: of a family (nlpaug) or a pattern ('*delete*'), and with all or ready, the members are listed; a
    strategy gets a page of its own, also one from a file (./my_idea.py:MyIdea). An option is given in brackets behind
    the name: bench run --strategy 'mate-kd[rho=0.4]'.
    """
    from bench.registry import families
    from bench.spec import EVERY, READY, described, listing

    by_family = families()
    absent = {name: family.missing for name, family in by_family.items() if family.missing is not None}
    everything = listing()
    listed = [row["name"] for row in everything]
    pages: list[dict[str, Any]] = []
    rows = [] if names else everything
    for name in names:
        fitting = {EVERY: listed, READY: [row["name"] for row in everything if not row["missing"]]}
        wanted = fitting.get(name) or [*matching(name, listed), *matching(f"{name}:*", listed)]
        members = [row for row in everything if row["name"] in wanted]
        if name in listed or not (members or name in absent):
            # A file's or an option's error says more than that there is no such name.
            if name not in listed and not re.search(r"[\[(/+]", name):
                raise unknown("strategy or family", name, [*listed, *by_family], "(see: bench list strategies)")
            pages.append(described(name))
        rows += [row for row in members if row["name"] != name and row not in rows]
    if verbose:
        pages, rows = [*pages, *rows], []
    if ready:
        pages, rows = ([row for row in some if not row["missing"]] for some in (pages, rows))
    absent = {name: why for name, why in absent.items() if not names or name in names}
    if form == "json":
        for name, why in absent.items():
            click.echo(f"{name}: {why}", err=True)
        print_json([*pages, *rows])
        return
    parts = ["\n".join(_page(page)) for page in pages]
    groups: dict[str, list[dict[str, Any]]] = {"": [], **{name: [] for name in by_family}}
    for row in rows:
        family = row["name"].partition(":")[0]
        groups[family if ":" in row["name"] and family in by_family else ""].append(row)
    for family, members in groups.items():
        able = sum(not row["missing"] for row in members)
        head = [f"{family}: {able} of {len(members)} ready"] if family else []
        if members:
            indent = column(members) + len("ready  ")
            parts.append("\n".join([*head, *(_brief(row, indent) for row in members)]))
    parts += [f"{name}: {why}" for name, why in absent.items()]
    if any(row["missing"] for row in rows):
        parts.append("get what is missing: bench prefetch --strategy NAME; all about it: bench list strategies NAME")
    show("\n\n".join(parts))


def _brief(row: dict[str, Any], indent: int) -> str:
    """Return a strategy in the lines that its description takes, and what it lacks in another."""
    lines = [cited(row["about"])[0]]
    lines += [f"missing: {', '.join(lack['name'] for lack in row['missing'])}"] if row["missing"] else []
    return entry(row["name"].ljust(indent - len("ready  ")) + ("" if row["missing"] else "ready"), lines, indent)


def _page(row: dict[str, Any]) -> list[str]:
    """Return all there is to say of a strategy, as lines."""
    about, paper = cited(row["about"])
    texts = [" ".join(text.split()) for text in row["description"].replace("``", "").split("\n\n") if text]
    blocks = [
        [about, *([f"paper: {paper}"] if paper else [])],
        *([text] for text in texts),
        [
            f"verified: {row['verified'] or 'no, not against anything but itself'}",
            f"models needed: {', '.join(row['needs']) or 'none besides the student'}",
            *(f"missing: {lack['name']}; get it: {lack['command']}" for lack in row["missing"]),
        ],
    ]
    lines = [row["name"] + ("" if row["missing"] else "  (ready)")]
    for block in blocks:
        lines += ["", *(paragraph(line, 2) for line in block)]
    if row["options"]:
        lines += ["", "  options:", *option_lines(row["options"], 4)]
    if row["strength"]:
        lines += ["", paragraph(f"strength={row['strength']}", 2, 4)]
    return lines


list_.add_command(presets)
list_.add_command(tasks)
