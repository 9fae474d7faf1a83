"""`bench prefetch`: get what strategies need besides code: corpora, vectors, models, packages."""

from __future__ import annotations

import importlib

import click

from bench.errors import BenchError, UsageError
from bench.resources import Resource


@click.command(epilog="Example: bench prefetch --strategy eda,nlpaug:synonym")
@click.option(
    "--strategy",
    required=True,
    help="Strategies, comma-separated, options in brackets; a pattern ('nlpaug:*'); or: all.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be fetched.")
def prefetch(strategy: str, dry_run: bool) -> None:
    """Get what strategies need and this machine lacks, each thing by its own downloader.

    Nothing that is there is fetched again; Python packages are installed by pip, so look with --dry-run first. What
    only a person can get (a program, a file) is named with what to type, and the exit code is then 1. The models of
    a preset are fetched when it runs.
    """
    wanted = _lacking(strategy)
    if not wanted:
        click.echo(f"nothing to get: {'every strategy' if strategy == 'all' else strategy} has all it needs")
        return
    failed = []
    for number, resource in enumerate(wanted, 1):
        click.echo(f"[{number}/{len(wanted)}] {resource.name}: {resource.command}")
        why = None if dry_run else _fetched(resource)
        if why is not None:
            click.echo(f"  not there: {why}", err=True)
            failed.append(f"  {resource.name}: {resource.command}")
    if failed:
        raise BenchError("\n".join([f"{len(failed)} of {len(wanted)} could not be fetched; type yourself:", *failed]))


def _lacking(strategy: str) -> list[Resource]:
    """Return what the strategies asked for lack, each thing once."""
    from bench.registry import families
    from bench.spec import EVERY, StrategySpec, expanded, missing, split_list

    texts = split_list(strategy)
    if EVERY in texts:
        for name, family in families().items():
            if family.missing is not None:
                click.echo(f"left out: {name}: {family.missing}", err=True)
    if not texts:
        raise UsageError("--strategy names no strategy; see: bench list strategies")
    lacking: dict[str, Resource] = {}
    for text in expanded(texts):
        for resource in missing(StrategySpec.parse(text).create()):
            lacking.setdefault(resource.name, resource)
    return list(lacking.values())


def _fetched(resource: Resource) -> str | None:
    """Fetch ``resource``; return None, or why it is not there afterwards."""
    if resource.fetch is None:
        return "only you can get it"
    try:
        resource.fetch()
    except Exception as error:  # noqa: BLE001 - a downloader may raise anything; it is shown, and the next one goes on
        return str(error) or type(error).__name__
    importlib.invalidate_caches()  # a package may be among what was fetched
    return None if resource.ready() else "it was fetched, but is not found where it is looked for"
