"""A file of rows written again, each text beside what a strategy makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.before_and_after import text_makers
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.experiment.augmentation import Augmentation
    from bench.spec import StrategySpec


def check_output(file: Path, output: Path | None, *, overwrite: bool) -> Path:
    """Return where the rows of ``file`` go: ``output``, or a name of its own in the working directory."""
    from bench.data.tables import FORMATS, WRITTEN

    if output is None:
        ending = max((ending for ending in FORMATS if file.name.endswith(ending)), key=len, default="")
        output = Path(f"{file.name.removesuffix(ending)}.augmented.parquet")
    if output.suffix not in WRITTEN:
        raise UsageError(f"cannot write {output}: known endings are {' '.join(WRITTEN)}")
    if output.exists() and output.samefile(file):
        raise UsageError(f"{output} is the file to be rewritten; name another: --output FILE")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} is there already; name another: --output FILE, or insist: --overwrite")
    return output


def augment_file(
    file: Path,
    spec: StrategySpec,
    asked: Sequence[str] | None,
    output: Path,
    augmentation: Augmentation,
    *,
    quoting: bool,
) -> str:
    """Write the rows of ``file``, with the columns ``asked`` rewritten, to ``output``; say what was done."""
    from bench.data.tables import column_types, read_table, write_table
    from bench.experiment.augmentation import FAILED

    rewriters = spec.create().rewriters()
    if len(rewriters) != 1:
        raise UsageError(
            f"{spec} is not one that rewrites texts before training; these are: "
            f"{', '.join(text_makers(sampling=False))}"
        )
    table = read_table(file, quoting=quoting)
    columns, rewritten = augmentation.table(str(spec), rewriters[0], table, asked)
    types = column_types(file) if file.suffix == output.suffix == ".parquet" else {}
    write_table(output, columns, {**types, FAILED: "string"}, quoting=quoting)

    rows, forms, fresh = len(rewritten.forms), sum(map(len, rewritten.forms)), len(rewritten.forms) - rewritten.cached
    names = [name for name in table.columns if f"{name}_augmented" in columns]
    changed = sum(
        any(columns[name][row] != columns[f"{name}_augmented"][row] for name in names) for row in range(forms)
    )
    speed = f" ({fresh / rewritten.seconds:,.0f} a second)" if fresh else ""
    lines = [
        f"{rows:,} rows of {', '.join(names)} in {rewritten.seconds:.1f} s: "
        f"{rewritten.cached:,} from the cache, {fresh:,} new{speed}",
        f"{changed / forms:.1%} of their {forms:,} forms are changed, {len(rewritten.failed):,} rows failed",
    ]
    lines += [f"  {count:,} x {reason}" for reason, count in Counter(rewritten.failed.values()).most_common(3)]
    return "\n".join([*lines, f"wrote {output}"])
