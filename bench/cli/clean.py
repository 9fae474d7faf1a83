"""`bench clean`: frees room in a results folder, and says how much."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.choices import results_option
from bench.errors import BenchError


@click.command(
    epilog="""\b
Examples:
  bench clean --dry-run
  bench clean
  bench clean students caches
"""
)
@click.argument("kinds", nargs=-1, type=click.Choice(["checkpoints", "leftovers", "students", "caches", "all"]))
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@results_option
def clean(kinds: tuple[str, ...], dry_run: bool, results: Path) -> None:
    """Free room in the results folder: by default what no command reads again, checkpoints and leftovers.

    Students and caches go only where they are named: students cannot be had again without training, caches are made
    again when they are needed. Records, predictions and evaluations always stay. Not while another bench runs here.
    """
    from bench.files import in_bytes
    from bench.remote.mirror import shown
    from bench.reporting.clean import KINDS, SAFE, free, freeable

    chosen = set(KINDS) if "all" in kinds else set(kinds or SAFE)
    everything, failed = freeable(results), []
    for kind, about in KINDS.items():
        items = [item for item in everything if item.kind == kind]
        word = "stay" if kind not in chosen else "would be freed" if dry_run else "freed"
        for item in items if kind in chosen and not dry_run else ():
            try:
                free(item)
            except FileNotFoundError:
                pass  # it lay in what was freed before
            except OSError as error:
                failed.append(f"{item.path}: {error.strerror}")
        click.echo(f"{kind:<12} {in_bytes(sum(item.size for item in items)):>10}  {len(items):>5}  {word:<15} {about}")
    freed = sum(item.size for item in everything if item.kind in chosen)
    click.echo(f"{'would free' if dry_run else 'freed'} {in_bytes(freed)} in {shown(results)}")
    if failed:
        raise BenchError("could not free all: " + "; ".join(failed[:5]))
