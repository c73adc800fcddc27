"""The service's own list of packages: complete, and no larger than it must be."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORT_ALL = """
import importlib, pkgutil, sys
import prediction, web
for package in (web, prediction):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name != "web.__main__":
            importlib.import_module(module.name)
from grpc import aio
print(*{name.partition(".")[0] for name in sys.modules})
"""
LIST = "web/requirements.txt"
OPTIONAL = {"_distutils_hack", "grpc_reflection", "grpc_tools", "pygments", "rich"}
"""What Python, grpc and httpx import wherever it is installed."""
ON_DEMAND = {"h11", "httpcore", "idna", "click"}
"""What others of the list need, whether or not it is imported by this service."""


def pins(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normal(name): version for name, version in pairs}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def imported() -> set[str]:
    """The distributions of everything that the service's modules import. Where several share a
    name, as those of Google do, that on the list counts."""
    found = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    listed, distributions = set(pins(LIST)), packages_distributions()
    used: set[str] = set()
    for module in set(found.stdout.split()) - OPTIONAL:
        owners = {normal(name) for name in distributions.get(module, [])}
        used |= owners & listed or owners
    return used


def test_the_list_has_all_that_the_service_imports_and_nothing_else() -> None:
    listed, used = set(pins(LIST)), imported()
    assert used - listed == set()
    assert listed - used - ON_DEMAND == set()


def test_tensorflow_and_pulumi_are_not_imported() -> None:
    assert not {"tensorflow", "keras", "pulumi", "numpy"} & imported()


def test_the_versions_are_those_of_the_virtual_environment() -> None:
    constraints = pins("constraints.txt")
    for name, version in pins(LIST).items():
        assert constraints[name] == version
