"""The command line's root: knows every verb's name and loads only the one asked for."""

from __future__ import annotations

import sys

try:
    import difflib
    import importlib
    import shlex
    import traceback
    from typing import Any

    import click

    from bench import __version__
    from bench.errors import BenchError, UsageError, printable
    from bench.interrupts import Interrupts, terminable
    from bench.startup import collect_seldom, processes
except KeyboardInterrupt:  # as below, where there is no click yet to say it
    sys.exit("Interrupted.")

# verb: (where its command lives, what it does)
VERBS = {
    "run": ("bench.cli.run:run", "Train and score strategies on tasks; does only what is missing."),
    "plan": ("bench.cli.run:plan", "Say what would run, what is cached, and what N workers would take."),
    "tune": ("bench.cli.tune:tune", "Search strategies' options on rows held out of train."),
    "compare": ("bench.cli.compare:compare", "Print the leaderboard of finished runs."),
    "report": ("bench.cli.report:report", "Write the leaderboard as one HTML page to look at."),
    "evaluate": ("bench.cli.evaluate:evaluate", "Score kept students out of domain."),
    "attack": ("bench.cli.attack:attack", "Attack kept students with published recipes."),
    "show": ("bench.cli.show:show", "Say all about one run."),
    "diff": ("bench.cli.diff:diff", "Show in what two runs differ."),
    "rerun": ("bench.cli.rerun:rerun", "Run a finished cell again and say whether it comes out the same."),
    "submit": ("bench.cli.submit:submit", "Make the zip that GLUE's test server takes."),
    "export": ("bench.cli.export:export", "Copy a run's student out, or push it to the hub."),
    "clean": ("bench.cli.clean:clean", "Free room: checkpoints, students, caches."),
    "list": ("bench.cli.list:list_", "List strategies, tasks and presets."),
    "augment": ("bench.cli.augment:augment", "Rewrite texts with a strategy, or show what it does to them."),
    "new": ("bench.cli.new:new", "Write a strategy of your own to start from."),
    "check": ("bench.cli.check:check", "Put a strategy through what a good one must satisfy."),
    "prefetch": ("bench.cli.prefetch:prefetch", "Get what strategies need: corpora, vectors, models."),
    "generator": ("bench.cli.generator:generator", "Train the masked language model that perturbs texts."),
    "docs": ("bench.cli.docs:docs", "Read the documentation, or build it as a site."),
    "profile": ("bench.cli.profile:profile", "Measure where a strategy's training time goes."),
}
EXAMPLES = (
    "bench run --strategy none,mate-kd --tasks cola,rte --seeds 3",
    "bench compare",
)


class _WrongRequest(click.ClickException):
    exit_code = 2


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is used, and shows the suite's errors in a line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which one needs them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the verb's command, importing its module."""
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb asked for; an unknown one is an error that names the nearest."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(VERBS)}."
            raise click.UsageError(f"No such command {args[0]!r}. {hint}", ctx)
        if args[0] != "run" and processes() > 1:
            raise click.UsageError(f"{processes()} processes can share `bench run`: start `bench {args[0]}` alone", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs from the table above, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, about) for verb, (_, about) in VERBS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples that end the help."""
        with formatter.section("Examples"):
            for example in EXAMPLES:
                formatter.write_text(example)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. Exit codes: 1 something failed, 2 the request is wrong, 130 interrupted, 143 terminated."""
        collect_seldom()
        try:
            with terminable():
                return super().invoke(ctx)
        except BenchError as error:
            kind = _WrongRequest if isinstance(error, UsageError) else click.ClickException
            raise kind(_printable(str(error))) from error
        except Exception as error:
            place = _in_own_file(error)
            if place is None:
                raise
            raise click.ClickException(_printable(f"{place}: {type(error).__name__}: {error}")) from error
        except KeyboardInterrupt:
            command = shlex.join(["bench", *sys.argv[1:]])
            click.echo(f"\nInterrupted. The same command goes on from here:\n  {_printable(command)}", err=True)
            raise click.exceptions.Exit(128 + Interrupts.last) from None


def _printable(message: str) -> str:
    """Return ``message``, in its lines, with what a file or a name may hold that a terminal would obey spelled out."""
    return "\n".join(map(printable, message.split("\n")))


def _in_own_file(error: Exception) -> str | None:
    """Return where in a strategy's file, one that the user named, ``error`` came from: FILE.py:LINE; None elsewhere."""
    from bench.registry import imported_files

    own = set(map(str, imported_files()))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


@click.group(name="bench", cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bench")
def main() -> None:
    """Which way of perturbing text makes knowledge distillation better, and at what cost?

    Every strategy trains the same student from the same teacher on the same budget. Each COMMAND has
    a --help.
    """
