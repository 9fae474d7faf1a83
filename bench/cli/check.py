"""`bench check`: does a strategy keep the rules that make its row comparable?"""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bench.cli.choices import format_option
from bench.cli.entries import paragraph, show
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.conformance.suite import Finding
    from bench.spec import StrategySpec

EPILOG = "Example: bench check eda 'mate-kd[rho=0.4]' ./word_dropout.py:WordDropout"


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="STRATEGY...")
@click.option("--explain", is_flag=True, help="Only say what each check demands, and why.")
@format_option
@click.pass_context
def check(ctx: click.Context, names: tuple[str, ...], explain: bool, form: str) -> None:
    """Put strategies through what a good one must satisfy, on small tasks and tiny models.

    A STRATEGY is a name or FILE.py:Class, with options in brackets; a name with a * is every strategy of such a name
    that has all it needs ('nlpaug:*') and wraps no other, and ready every strategy of which that holds. One line per
    check says passed, failed (what was seen, what to do) or skipped (why). Exit code 1 if a check failed. Takes
    seconds, or where a library has to be imported in worker processes about a minute.
    """
    # Tiny models are fastest on one thread, many times so on a busy machine; set before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if explain:
        show(explanation())
        return
    if not names:
        raise UsageError("name a strategy to check, for example: bench check eda (see: bench list strategies)")
    specs = chosen(names)
    from transformers import logging as transformers_logging

    from bench.conformance.suite import examine

    transformers_logging.disable_progress_bar()
    results: list[dict[str, Any]] = []
    for spec in specs:
        findings: list[Finding] = []
        if form == "text":
            click.echo(str(spec))
        for finding in examine(spec):
            findings.append(finding)
            if form == "text":
                _print_finding(finding)
        if form == "text":
            click.echo(f"  {_summary(findings)}\n")
        results.append({"strategy": str(spec), "checks": [asdict(finding) for finding in findings]})
    if form == "json":
        click.echo(json.dumps(results, indent=1))
    elif len(results) > 1:
        bad = [entry["strategy"] for entry in results if _failed(entry)]
        click.echo(f"{len(results)} strategies: " + (f"failed: {', '.join(bad)}" if bad else "all passed"))
    if any(map(_failed, results)):
        ctx.exit(1)


def explanation() -> str:
    """Return what every check demands and why it matters, from its docstring."""
    from bench.conformance.suite import CHECKS

    return "\n".join(
        f"{demand}\n{paragraph(' '.join((one.__doc__ or '').split()), 4)}" for one, demand in CHECKS.items()
    )


def chosen(names: Sequence[str]) -> list[StrategySpec]:
    """Return the strategies that ``names`` ask for; UsageError for one that is unknown or a pattern of none."""
    from bench.spec import StrategySpec, expanded

    return list(dict.fromkeys(map(StrategySpec.parse, expanded(names, ready=True))))


def _failed(entry: dict[str, Any]) -> bool:
    return any(finding["outcome"] == "failed" for finding in entry["checks"])


def _summary(findings: Sequence[Finding]) -> str:
    counts = [f"{sum(f.outcome == kind for f in findings)} {kind}" for kind in ("passed", "failed", "skipped")]
    return f"{', '.join(counts)} in {sum(finding.seconds for finding in findings):.1f} s"


def _print_finding(finding: Finding) -> None:
    """Print what was found in a line, of a failure in as many as it takes to read it all."""
    line = f"  {finding.outcome:<9}{finding.demand:<38}{finding.detail}".rstrip()
    width = max(80, shutil.get_terminal_size(fallback=(120, 24)).columns)
    if finding.outcome == "failed":
        line = textwrap.fill(line, width, subsequent_indent=" " * 11, break_long_words=False, break_on_hyphens=False)
    click.echo(line)
