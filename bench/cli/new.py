"""`bench new`: a strategy of one's own to start from."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import click

from bench.errors import UsageError

# kind: (module of bench.skeletons, its class)
KINDS = {
    "text": ("word_dropout", "WordDropout"),
    "views": ("embedding_noise", "EmbeddingNoise"),
    "adversary": ("learned_shift", "LearnedShift"),
}


@click.command(epilog="Example: bench new my-idea --kind views")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    default="text",
    show_default=True,
    help="What it does: rewrite texts, perturb each batch's embeddings, or train an adversary.",
)
def new(name: str, kind: str) -> None:
    """Write NAME.py, a strategy that works and passes `bench check`, to change into your own."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*", name) or len(name) > 100:
        raise UsageError(f"{name[:100]!r} is no name for a strategy: write letters, digits, - and _, as in my-idea")
    module, skeleton = KINDS[kind]
    path = Path(f"{name.replace('-', '_')}.py")
    own = "".join(part[0].upper() + part[1:] for part in re.split("[-_]", name))
    source = (resources.files("bench.skeletons") / f"{module}.py").read_text("utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(source.replace(skeleton, own))
    except FileExistsError:
        raise UsageError(f"{path} is there already; give another name") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    spec = f"./{path}:{own}"
    click.echo(f"wrote {path}; look at it, change it, and type:")
    click.echo(f"  bench check {spec}")
    if kind == "text":
        click.echo(f"  bench augment --strategy {spec} --task rte -n 5")
    click.echo(f"  bench run --strategy none,{spec} --tasks rte")
