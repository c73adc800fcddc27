"""Importing a cloud SDK on demand: the same classes and names, fewer modules."""

from __future__ import annotations

import subprocess
import sys

import pytest

from render.recorder import ROOT

SETUP = (
    "import importlib, sys; sys.path.insert(0, '.');"
    "from infra.gke.sdk_imports import import_on_demand;"
    "import_on_demand(('pulumi_gcp.serviceaccount', 'pulumi_kubernetes.policy.v1'));"
    "from pulumi_gcp import serviceaccount; from pulumi_kubernetes import policy;"
)


def python(code: str) -> str:
    """What `code` prints in a fresh interpreter, after the setup."""
    command = [sys.executable, "-W", "ignore", "-c", SETUP + code]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_resource_imports_its_own_module_only() -> None:
    shown = python(
        "serviceaccount.Account; policy.v1.PodDisruptionBudgetSpecArgs;"
        "print(sorted(m for m in sys.modules if m.startswith('pulumi_gcp.serviceaccount.')))"
    )
    assert "'pulumi_gcp.serviceaccount.account'" in shown
    assert "'pulumi_gcp.serviceaccount.key'" not in shown


def test_the_classes_are_the_sdks_own() -> None:
    assert python(
        "mine = serviceaccount.IAMMember; del sys.modules['pulumi_gcp.serviceaccount'];"
        "real = importlib.import_module('pulumi_gcp.serviceaccount');"
        "print(mine is real.IAMMember)"
    ) == str(True)


def test_a_name_that_follows_no_rule_comes_from_the_whole_package() -> None:
    assert python("print(serviceaccount.AccountArgs.__name__)") == "AccountArgs"
    assert python("print(serviceaccount.get_account_output.__name__)") == "get_account_output"


def test_an_unknown_name_is_still_an_attribute_error() -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        python("serviceaccount.Acount")
    assert "AttributeError" in failed.value.stderr


def test_an_already_imported_package_is_not_replaced() -> None:
    assert python(
        "import pulumi_gcp.projects as before; before.Service;"
        "import_on_demand(('pulumi_gcp.projects',));"
        "from pulumi_gcp import projects; print(type(projects).__name__)"
    ) in ("module",)
