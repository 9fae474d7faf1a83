"""The pages of the documentation: the files in bench/docs, filled in from the code, and a page per strategy."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import bench
from bench.cli.entries import cited, option_words
from bench.errors import unknown
from bench.options import describe
from bench.registry import families, load, names, strategy_file, targets
from bench.spec import COMPOSED, documented, wrapped

FOLDER = Path(bench.__file__).with_name("docs")
# In the order in which one needs them.
WRITTEN = (
    "concepts",
    "tasks",
    "strategies",
    "settings",
    "results",
    "notebook",
    "report",
    "statistics",
    "beyond",
    "tuning",
    "own-strategy",
    "adversary",
    "machines",
    "faults",
    "speed",
)

# A line of a page that stands for what the code says: <!-- options: module:Class prefix -->, or <!-- source: module -->
_FROM_CODE = re.compile(r"^<!-- (options|fields|source): ([\w.]+):?(\w*) ?(\S*) -->$", re.M)
# What a page's file says to who reads the file itself.
_INCOMPLETE = re.compile(r"^_In a repository's file view .*_\n\n", re.M)
# A field of a dataclass or struct with its meaning on one line: "seed: Count = 0  # seed of the student".
_FIELD = re.compile(r"^    (\w+): .*?  # (.+)$", re.M)


def page(topic: str) -> str:
    """Return the page on ``topic``, a written page's name, a strategy (also from a file) or a family, as Markdown."""
    if topic in WRITTEN:
        return _FROM_CODE.sub(_from_code, _INCOMPLETE.sub("", (FOLDER / f"{topic}.md").read_text("utf-8")))
    if topic in families():
        return _family(topic)
    if topic in names() or strategy_file(topic) is not None:
        return _strategy(topic, "#")
    raise unknown("topic", topic, [*WRITTEN, *families(), *names()], "(see: bench docs)")


def strategies() -> dict[str, str]:
    """Return the topics that are strategies and families, each with the name of its page's file."""
    return {name: "composition" if name == COMPOSED else name.replace(":", "-") for name in [*targets(), *families()]}


def title(text: str) -> str:
    """Return the heading of a page."""
    return text.partition("\n")[0].lstrip("# ")


def summary(text: str) -> str:
    """Return what a page is about: its first paragraph."""
    return " ".join(text.split("\n\n")[1].split())


def _from_code(match: re.Match[str]) -> str:
    """Return the list, or the code, that a line of a page stands for."""
    kind, module, name, prefix = match.groups()
    if kind == "source":
        return f"```python\n{inspect.getsource(importlib.import_module(module))}```"
    cls = getattr(importlib.import_module(module), name)
    if kind == "options":
        return "\n".join(_item(*option_words(prefix + key, option)) for key, option in describe(cls).items())
    return "\n".join(_item(field, f": {meaning}") for field, meaning in _FIELD.findall(inspect.getsource(cls)))


def _item(term: str, meaning: str) -> str:
    return f"- `{term}`{'' if meaning.startswith(':') else ' '}{meaning}"


def _strategy(name: str, heading: str) -> str:
    """Return what there is to say of a strategy under a heading: what `bench list strategies NAME` says of all."""
    family, _, member = name.partition(":")
    cls = families()[family].load(member) if family in families() else load(name)
    strategy = None if wrapped(cls) else cls()
    row = documented(name, cls, strategy)
    about, paper = cited(row["about"])
    needs = ", ".join(row["needs"]) or "none besides the student"
    parts = [f"{heading} {name}", about, row["description"].replace("``", "`"), f"Models needed: {needs}."]
    parts += [f"Verified: {row['verified']}."] if row["verified"] else []
    parts += [f"Paper: {paper}."] if paper else []
    parts += [f"Needs {resource.name}: `{resource.command}`" for resource in (strategy.resources() if strategy else ())]
    if row["options"]:
        parts += ["Options:", "\n".join(_item(*option_words(key, facts)) for key, facts in row["options"].items())]
    parts += [f"strength={row['strength']}."] if row["strength"] else []
    return "\n\n".join(filter(None, parts)) + "\n"


def _family(name: str) -> str:
    """Return the page of a family, with a section per member."""
    members = families()[name].documented()
    about = f"{len(members)} strategies that the library {name} brings: `bench list strategies {name}` says which are "
    sections = [_strategy(f"{name}:{member}", "##") for member in members]
    return "\n".join([f"# {name}", "", about + "ready here, and how to get what the others lack.", "", *sections])
