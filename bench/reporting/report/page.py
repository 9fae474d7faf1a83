"""The page: what comparisons, records and their folders hold, put into the template with script and style."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bench
from bench.errors import BenchError
from bench.reporting.report.evidence import Shelf
from bench.reporting.report.section import Labelled, Section

if TYPE_CHECKING:
    from bench.reporting.comparison import Comparison

_HERE = Path(__file__).parent
INSTALL = "pip install 'distil-augment-bench[report]'"


def page(comparisons: Sequence[Comparison], records: Labelled, results: Path) -> str:
    """Return the page as HTML that needs no other file and no network.

    ``records`` are (strategy as the leaderboard calls it, record); curves and samples are read from the records'
    folders in ``results``. All texts of records are data: the template escapes them, and the page's own policy lets
    no script run but the two it was written with. Raises BenchError where the libraries of charts are missing.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    ready()
    library = _library()
    shelf = Shelf()
    sections = [Section(n, comparison, records, results, shelf) for n, comparison in enumerate(comparisons, start=1)]
    script = (_HERE / "page.js").read_text("utf-8")
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    # A browser reads no NaN: better an error here than a page without charts.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    finished = sorted(
        record.provenance.finished[:10] for _, record in records if record.provenance and record.provenance.finished
    )
    return environment.get_template("page.html").render(
        version=bench.__version__,
        sections=sections,
        n_records=len(records),
        dates=(finished[0], finished[-1]) if finished else None,
        charts={place: spec for section in sections for place, spec in section.charts.items()},
        shelf={"pool": shelf.pool, "keys": shelf.keys, "records": shelf.records},
        # The package's own files: all else in the template is escaped.
        style=Markup((_HERE / "page.css").read_text("utf-8")),
        library=Markup(library),
        script=Markup(script),
        hashes=[_hash(library), _hash(script)],
    )


def _visible(value: object) -> object:
    """Return a text with what a browser would obey and not show spelled out; all else, and markup, as it is."""
    from markupsafe import Markup

    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c.isspace() else repr(c)[1:-1] for c in value)


def ready() -> None:
    """Raise BenchError, with the command that gets them, where the libraries that make charts are not installed."""
    for library in ("altair", "vl_convert"):
        if importlib.util.find_spec(library) is None:
            raise BenchError(f"the report's charts need {library}, which is not installed; type: {INSTALL}")


def _library() -> str:
    """Return the JavaScript that draws charts, of the version that altair writes specifications for."""
    import altair
    import vl_convert

    version = "v" + ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    try:
        library = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version))
    except ValueError as error:
        mismatch = f"altair {altair.__version__} writes Vega-Lite {version}, which this vl-convert does not know"
        raise BenchError(f"{mismatch}; type: {INSTALL} --upgrade") from error
    # Inside a script element only this would end it early.
    return library.replace("</script", "<\\/script")


def _hash(script: str) -> str:
    """Return a script's digest as a page's policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
