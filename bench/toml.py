"""Reading TOML files, with errors that name the file and the place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bench.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["read_entries", "read_toml", "tomllib"]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the table in ``path``; UsageError if the file is missing or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        # Not TOML, not UTF-8, a number of thousands of digits, or brackets within thousands of brackets.
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def read_entries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tables in ``path`` by name, their lists as tuples, as the fields of a frozen dataclass."""

    def frozen(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: frozen(item) for key, item in value.items()}
        return tuple(value) if isinstance(value, list) else value

    return frozen(read_toml(path))
