"""Which options make a run another one than the paper's algorithm, or than the plain reference in full precision."""

from __future__ import annotations

from collections.abc import Mapping

from bench.settings import Settings
from bench.strategy import Strategy


def departures(settings: Settings, strategy: Strategy) -> dict[str, list[str]]:
    """Return what is switched on, in words, by what it does.

    "algorithm": it is another algorithm than the one published. "numbers": the same algorithm, but not within
    1e-5 of the plain reference in fp32, which the tests hold the defaults to. "none": the same numbers.
    """
    recipe, layers = settings.recipe, settings.generator.layers if "generator" in strategy.needs else 0
    algorithm = {
        f"generator.layers={layers}: a smaller generator": layers,
        f"recipe.batch_tokens={recipe.batch_tokens}: batches of other sizes": recipe.batch_tokens,
    }
    numbers = {
        "recipe.precision=bf16: matrix products in bf16; losses, softmax and noise in fp32": recipe.precision == "bf16",
        "teacher.precision=bf16: the teacher's weights are rounded": settings.teacher.precision == "bf16",
        "recipe.compile: torch.compile rounds differently, and draws other dropout": recipe.compile,
    }
    none = {
        f"recipe.accumulate={recipe.accumulate}: the gradient of the whole batch (dropout and the generator's noise "
        f"are drawn micro-batch by micro-batch)": recipe.accumulate > 1,
        "recipe.recompute: activations are computed again, to the bit": recipe.recompute,
    }
    return {
        "algorithm": [*strategy.cost_model().departures, *_switched_on(algorithm)],
        "numbers": _switched_on(numbers),
        "none": _switched_on(none),
    }


def _switched_on(options: Mapping[str, object]) -> list[str]:
    return [option for option, value in options.items() if value]
