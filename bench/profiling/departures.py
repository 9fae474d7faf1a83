"""Which options make a run another one than the paper's algorithm, or than the plain reference in full precision."""

from __future__ import annotations

from bench.settings import Settings
from bench.strategy import Strategy


def departures(settings: Settings, strategy: Strategy) -> dict[str, list[str]]:
    """Return what is switched on, in words, by what it does.

    "algorithm": it is another algorithm than the one published. "numbers": the same algorithm, but not within
    1e-5 of the plain reference in fp32, which the tests hold the defaults to. "none": the same numbers.
    """
    recipe, found = settings.recipe, {"algorithm": [], "numbers": [], "none": []}  # type: ignore[var-annotated]
    found["algorithm"] += strategy.cost_model().departures
    if "generator" in strategy.needs and settings.generator.layers:
        found["algorithm"].append(f"generator.layers={settings.generator.layers}: a smaller generator")
    if recipe.batch_tokens is not None:
        found["algorithm"].append(f"recipe.batch_tokens={recipe.batch_tokens}: batches of other sizes")
    if recipe.precision == "bf16":
        found["numbers"].append("recipe.precision=bf16: matrix products in bf16; losses, softmax and noise in fp32")
    if settings.teacher.precision == "bf16":
        found["numbers"].append("teacher.precision=bf16: the teacher's weights are rounded")
    if recipe.compile:
        found["numbers"].append("recipe.compile: torch.compile rounds differently, and draws other dropout")
    if recipe.accumulate > 1:
        found["none"].append(
            f"recipe.accumulate={recipe.accumulate}: the gradient of the whole batch (dropout and the generator's "
            f"noise are drawn micro-batch by micro-batch)"
        )
    if recipe.recompute:
        found["none"].append("recipe.recompute: activations are computed again, to the bit")
    return found
