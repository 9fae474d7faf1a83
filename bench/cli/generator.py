"""`bench generator`: the masked language model that perturbs texts, trained, cached and measured."""

from __future__ import annotations

import click

from bench.cli.choices import Choices, choices_options


@click.command(epilog="Example: bench generator --preset minilm --data-dir glue --set generator.tokens=2000000")
@choices_options
def generator(choices: Choices) -> None:
    """Train the preset's masked language model on the texts of all tasks at hand.

    `bench run` does this by itself when a strategy needs it; here it is on its own, to train it beforehand, to
    see its perplexity, or to use it elsewhere (the folder printed is an ordinary transformers checkpoint).
    """
    from bench.experiment.parts import Parts
    from bench.experiment.progress import watching

    settings, source = choices.open()
    with watching() as progress:
        parts = Parts(settings, source, choices.results, progress)
        parts.check({"generator"}, [])
        trained = parts.generator
    perplexity = trained.card["perplexity"]
    click.echo(f"generator: {trained.home}")
    if perplexity is None:
        is_random = settings.generator.train == "never" and trained.home is None
        why = "generator.train=never: its weights are random" if is_random else "its masked-LM head is the checkpoint's"
        click.echo(f"{why}; nothing was trained here")
    else:
        card = trained.card
        click.echo(
            f"perplexity {perplexity:.1f} at the masked tokens of {card['held_out_texts']} held-out texts, after "
            f"{card['tokens']:,} word pieces in {card['seconds']:.0f} s"
        )
