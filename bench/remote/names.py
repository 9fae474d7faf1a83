"""What the names of objects say: which are kept the same here and on the store, and which can be files here."""

from __future__ import annotations

import errno
import re

# In the folder of a URL, and in those in it that hold the runs of `bench rerun` and `bench tune`.
_IN_RESULTS = r"^((again|tune)/)?"
# Hidden, set aside, or made by each machine for itself in less time than sending takes.
OWN = re.compile(
    rf"(^|/)\.|\.corrupt-|{_IN_RESULTS}((aside|tracking|leases)/|cache/(encoded|tokenizers|banks|answers|samples)/)"
    r"|/seed-[^/]*/checkpoint/(?!$|states/|budget\.json)"
)
UNFINISHED = re.compile(r"/seed-[^/]*/checkpoint/|\.states/")
CACHE = re.compile(rf"{_IN_RESULTS}cache/")
ALL = re.compile(rf"{_IN_RESULTS}(runs)?$")
# Names of folders here, or in what is a file here.
NO_FILE = re.compile(rf"{_IN_RESULTS}(runs(/[^/]+){{0,4}}|cache|aside|seen|again|tune)$|/record\.json/")
NO_NAME = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL, errno.EILSEQ}
"""What goes wrong with a file for the name that it has here, where another one would do."""


def is_shared(name: str) -> bool:
    """Return whether ``name`` is of what is kept the same here and there."""
    return not (OWN.search(name) or UNFINISHED.search(name)) and is_safe(name)


def is_safe(name: str) -> bool:
    """Return whether ``name``, as anybody may have given it to an object, stays in the folder that it is put into."""
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.removesuffix("/").split("/"))


def first_part(name: str, folder: str) -> str:
    """Return the first part of ``name`` below ``folder``."""
    return name[len(folder) + 1 :].partition("/")[0]
