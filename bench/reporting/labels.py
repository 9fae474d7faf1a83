"""What a run is called in a table: its strategy, with the options that tell it from other runs on the same task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import pandas as pd

TUNED = " (tuned)"
_NAME = ["preset", "task", "strategy", "tuned.strategy"]
_OPTIONS = ["strategy_options", "tuned.trials", "tuned.seed", "generator.hash", "spec", "cost.rewritten"]
NAMED_BY = (*_NAME, *_OPTIONS)
"""Columns that a run's name and its options are read from."""


def labels(runs: pd.DataFrame) -> pd.Series:
    """Return the label of each run of ``runs``, which has the columns of the tidy frame.

    It is the strategy, followed by the options that tell it from others on the same task. An option that a record does
    not have, because its strategy got it later, tells it from none. A strategy whose options a search chose, which
    differ by task, stands under the name that the search was asked for, "(tuned)".
    """
    import pandas as pd

    # What does not name the options: the generator's own digest and the counts of the rewriting.
    keys = runs[_NAME + _OPTIONS].assign(
        **{
            "generator.hash": runs["generator.hash"].notna(),
            "cost.rewritten": runs["cost.rewritten"].fillna("{}") != "{}",
        }
    )
    number = keys.groupby(list(keys), sort=False, dropna=False).ngroup()
    kinds = keys.loc[~number.duplicated()]
    own = [
        (str(row[0]), str(row[1]), _name(row[2], row[3]), _options(*row[4:]))
        for row in zip(*(kinds[name].tolist() for name in kinds), strict=True)
    ]
    values: dict[tuple[str, str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for preset, task, name, options in own:
        for key, value in options.items():
            values[preset, name, task][key].add(str(value))
    varying: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (preset, name, _), seen in values.items():
        varying[preset, name] |= {key for key in seen if len(seen[key]) > 1}
    texts = [_label(name, options, varying[preset, name]) for preset, _, name, options in own]
    return number.map(pd.Series(texts, dtype=object)).astype(pd.StringDtype("python"))


def _name(strategy: str, tuned: Any) -> str:
    return tuned + TUNED if isinstance(tuned, str) else strategy


def _options(given: str, trials: Any, seed: Any, has_generator: bool, spec: Any, has_rewritten: bool) -> dict[str, Any]:
    """Return a run's options, with the settings of the generator and the seed of rewriting where it had these."""
    options: dict[str, Any] = msgspec.json.decode(given)
    if isinstance(trials, int):
        options |= {"trials": trials, "search seed": seed}
    settings = msgspec.json.decode(spec) if has_generator or has_rewritten else {}
    generator, data = settings.get("generator"), settings.get("data")
    if has_generator and isinstance(generator, dict):
        options |= {f"generator.{key}": value for key, value in generator.items()}
    if has_rewritten and isinstance(data, dict) and "rewrite_seed" in data:
        options["data.rewrite_seed"] = data["rewrite_seed"]
    return options


def _label(name: str, options: Mapping[str, Any], keys: Iterable[str]) -> str:
    extra = ",".join(f"{key}={options[key]}" for key in sorted(keys) if key in options)
    if not extra:
        return name
    plain, tuned = name.removesuffix(TUNED), TUNED if name.endswith(TUNED) else ""
    return (f"{plain[:-1]},{extra}]" if plain.endswith("]") else f"{plain}[{extra}]") + tuned
