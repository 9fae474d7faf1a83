"""What a person installs is whole, and says of itself what is true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from checkout import ROOT

import bench
from bench.toml import read_toml

PACKAGES = ("bench", "strategies")
# Folders of the machine something was written on; the pattern does not match itself.
ELSEWHERE = re.compile(r"(?<![\w.:/-])/(?:work|tmp|home|root|opt|Users|mnt)/[\w.-]")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the project, so that the build leaves nothing here."""
    copy = tmp_path_factory.mktemp("project")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True, timeout=120)
    (path,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_every_file_of_the_packages_is_in_the_wheel(wheel):
    here = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {
        "bench/experiment/presets/mini.toml",
        "bench/data/mini/grammar.toml",
        "bench/docs/concepts.md",
        "bench/evaluation/glue_metrics/glue_metrics.py",
    } <= here
    assert here <= set(wheel.namelist())


def test_published_numbers_are_found_where_only_the_wheel_is(wheel, tmp_path):
    wheel.extractall(tmp_path)
    script = "import bench.reporting.published as p; print(p.FILE, len(p.read()))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [str(tmp_path / "bench" / "reporting" / "published.csv"), "104"], done.stderr


def test_the_wheel_installs_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {*PACKAGES, f"distil_augment_bench-{bench.__version__}.dist-info"}


def _in_info(wheel, file):
    (name,) = [name for name in wheel.namelist() if name.endswith(f".dist-info/{file}")]
    return wheel.read(name).decode()


def test_the_wheel_names_its_version_licence_and_command(wheel):
    metadata = _in_info(wheel, "METADATA")
    assert f"\nVersion: {bench.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "bench = bench.cli:main" in _in_info(wheel, "entry_points.txt")
    assert "Apache License" in _in_info(wheel, "licenses/LICENSE")


def test_the_extra_all_is_all_extras_for_users():
    extras = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    users = ("textattack", "nlpaug", "llm", "report")
    assert set(extras["all"]) == {library for extra in users for library in extras[extra]}
    assert set(extras) == {"all", "docs", "onnx", "ray", "remote", "slurm", "test", "track", *users}


def test_the_citation_is_of_this_version():
    assert f"\nversion: {bench.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_readme_tests_as_ci_does():
    command = re.search(r"tox run-parallel -p 2 -e [\w,]+", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert command is not None
    assert f"\n{command[0]}\n" in (ROOT / "README.md").read_text("utf-8")


def test_no_file_names_a_folder_of_one_machine():
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: the project's own files are not known")
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue  # deleted and not yet committed
        content = path.read_bytes()
        if b"\0" not in content:
            found += [f"{name}: {match[0]}" for match in ELSEWHERE.finditer(content.decode("utf-8"))]
    assert found == []


def test_the_public_names_are_offered_and_each_is_there():
    assert set(bench.__all__) < set(dir(bench))
    for name in bench.__all__:
        assert getattr(bench, name).__module__.startswith("bench.")
