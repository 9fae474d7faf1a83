"""What code a class is made of, so that the results of code since changed are not taken for its own."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.files import file_digest


def sources(classes: Iterable[type]) -> dict[str, str]:
    """Return digest and name of each file that ``classes`` and their bases are written in, and of those they import.

    Imports are followed, inside functions too, within the packages of the classes and into every module that is not
    installed in site-packages: libraries, Python and ``bench`` count by their versions. What is said of a strategy in
    ``verified`` is no part of what it does, and counts in none.
    """
    classes = list(classes)
    own = frozenset(cls.__module__.partition(".")[0] for cls in classes)
    names = {base.__module__ for cls in classes for base in cls.__mro__}
    files = set[tuple[Path, str]]()
    for name in names:
        # A class typed into an interpreter has no file.
        file = getattr(sys.modules.get(name), "__file__", None)
        # Of this suite's bases only those that make texts are part of what a strategy does.
        if file is not None and (_counts(Path(file), name, own) or name in ("bench.rewriter", "bench.text_strategy")):
            files.add((Path(file).resolve(), name))
    seen = set[Path]()
    while files:
        file, name = files.pop()
        seen.add(file)
        if name.partition(".")[0] != "bench":
            files |= {each for each in _imported(file, file_digest(file), name, own) if each[0] not in seen}
    return dict(sorted((_code_digest(file, file_digest(file))[:16], file.name) for file in seen))


@functools.cache
def _code_digest(file: Path, digest: str) -> str:
    """Return the sha256 of a file of code, ``digest`` being that of its content, without its ``verified = …``."""
    content = file.read_bytes()
    statements = [
        node
        for node in ast.walk(ast.parse(content))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "verified"
    ]
    if not statements:
        return digest
    lines = [*content.splitlines(keepends=True), b""]
    for node in sorted(statements, key=lambda node: node.lineno, reverse=True):
        # With the blank line that sets it off, so that the file is what it was before anything was said.
        del lines[node.lineno - 1 : (node.end_lineno or node.lineno) + (not lines[node.end_lineno or 0].strip())]
    return hashlib.sha256(b"".join(lines)).hexdigest()


def version(distribution: str) -> str | None:
    """Return the installed version of ``distribution``, or None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _counts(file: Path, module: str, own: frozenset[str]) -> bool:
    """Return whether ``module`` counts by what is in its ``file``, not by a version."""
    top = module.partition(".")[0]
    installed = not {"site-packages", "dist-packages"}.isdisjoint(file.parts)
    return top not in {"bench", *sys.stdlib_module_names} and (top in own or not installed)


@functools.cache
def _imported(file: Path, digest: str, module: str, own: frozenset[str]) -> frozenset[tuple[Path, str]]:
    """Return file and name of each module that counts by its file and that ``module`` in ``file`` may import.

    ``digest`` is that of the content: it is what the answer is remembered for.
    """
    place = module.split(".") + ["__init__"] * (file.name == "__init__.py")
    beside = file.parents[len(place) - 1]
    imported = dict[str, Path | None]()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            imported |= {alias.name: _file_of(alias.name, beside) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = place[: -node.level] if node.level else []
            source = ".".join([*package, *([node.module] if node.module else [])])
            for alias in node.names:
                # A module of a package, or something that the package itself defines.
                name = f"{source}.{alias.name}"
                module_file = _file_of(name, beside)
                imported[name if module_file else source] = module_file or _file_of(source, beside)
    return frozenset((path, name) for name, path in imported.items() if path is not None and _counts(path, name, own))


def _file_of(module: str, beside: Path) -> Path | None:
    top, *rest = module.split(".")
    if top not in sys.stdlib_module_names and top != "bench":
        for folder in _folders(top, beside):
            stem = folder.joinpath(top, *rest)
            for path in (stem.with_suffix(".py"), stem / "__init__.py"):
                if path.is_file():
                    return path.resolve()
    return None


def _folders(top: str, beside: Path) -> Iterator[Path]:
    """Yield the folders in which the module or package ``top`` may lie: ``beside``, and where Python finds it."""
    yield beside
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module put together by hand
        return
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parents[spec.submodule_search_locations is not None]
