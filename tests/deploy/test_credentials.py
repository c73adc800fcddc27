"""Wrong Google credentials end a deployment with one line, before `pulumi` makes anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.deploy.checkout import ROOT, Checkout, copy_checkout
from tests.google_credentials import ACCOUNT, signed_in, token_server
from tests.official_cli import cli_environment

pytestmark = pytest.mark.slow

IMPERSONATED = {"GOOGLE_IMPERSONATE_SERVICE_ACCOUNT": ACCOUNT}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout whose `pulumi` only notes how it is called."""
    stub = tmp_path / "bin/pulumi"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/calls"\n')
    stub.chmod(0o755)
    return copy_checkout(tmp_path / "checkout", "pulumi")


def make(checkout: Checkout, target: str, environment: Mapping[str, str], code: int) -> list[str]:
    """The lines of `make TARGET STACK=dev`, without make's own."""
    path = f"{checkout.folder.parent}/bin:{os.environ['PATH']}"
    backend = f"file://{checkout.folder}/backend"
    given = {**environment, "PATH": path, "PULUMI_BACKEND_URL": backend}
    output = checkout.make(target, code=code, STACK="dev", **given)
    return [line for line in output.splitlines() if not line.startswith("make")]


@pytest.mark.parametrize("target", ["up", "preview", "refresh", "down"])
def test_make_checks_the_credentials_before_pulumi(checkout: Checkout, target: str) -> None:
    (line,) = make(checkout, target, IMPERSONATED, 2)
    assert line.startswith("error: GOOGLE_IMPERSONATE_SERVICE_ACCOUNT does not count for all of ")
    assert not (checkout.folder.parent / "calls").exists()


def test_make_goes_on_with_usable_credentials(
    checkout: Checkout,
) -> None:
    with token_server() as google:
        assert make(checkout, "refresh", signed_in(checkout.folder.parent, google.key()), 0) == []
        assert google.asked == ["/token"]
    calls = (checkout.folder.parent / "calls").read_text()
    assert "refresh --yes --stack dev" in calls


@pytest.mark.parametrize("target", ["up", "preview"])
def test_a_committed_stack_is_to_be_copied_before_pulumi_rewrites_its_file(
    checkout: Checkout, target: str
) -> None:
    shutil.copy(ROOT / ".gitignore", checkout.folder)
    with token_server() as google:
        user = signed_in(checkout.folder.parent, google.key())
        (line,) = make(checkout, target, user, 2)
        assert line.startswith("error: Pulumi.dev.yaml has no gcp:project")
        assert "`make stack STACK=mine FROM=dev PROJECT=" in line
        assert not (checkout.folder.parent / "calls").exists()
        with (checkout.folder / "Pulumi.dev.yaml").open("a") as file:
            file.write("  gcp:project: my-project-1\n")
        assert make(checkout, "preview", user, 0) == []


def test_a_setting_of_the_provider_in_the_stacks_file_is_refused(checkout: Checkout) -> None:
    path = checkout.folder / "Pulumi.dev.yaml"
    stack = yaml.safe_load(path.read_text())
    stack["config"]["gcp:impersonateServiceAccount"] = ACCOUNT
    path.write_text(yaml.safe_dump(stack))
    (line,) = make(checkout, "preview", {}, 2)
    assert line.startswith("error: gcp:impersonateServiceAccount does not count for all of ")


@pytest.mark.skipif(shutil.which("pulumi") is None, reason="the official CLI is not on PATH")
def test_a_typed_preview_says_the_line_too_and_plans_nothing(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout", "pulumi")
    path = checkout.folder / "Pulumi.dev.yaml"
    stack = yaml.safe_load(path.read_text())
    stack["config"]["gcp:project"] = "my-project-1"
    stack["config"]["diffusion-serving:allowedSourceRanges"] = "203.0.113.7/32"
    stack["config"]["diffusion-serving:modelFamily"] = "demo"
    path.write_text(yaml.safe_dump(stack))
    environment = cli_environment(tmp_path) | IMPERSONATED
    del environment["PYTHONPATH"]  # the checkout has the program's own code

    def pulumi(*command: str) -> subprocess.CompletedProcess[str]:
        arguments = ["pulumi", *command, "--non-interactive", "--color", "never"]
        return subprocess.run(
            arguments,
            cwd=checkout.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert pulumi("stack", "init", "dev").returncode == 0
    preview = pulumi("preview")
    assert preview.returncode != 0
    (line,) = [one for one in preview.stdout.splitlines() if "does not count for all" in one][-1:]
    assert "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT" in line
    assert "Traceback" not in preview.stdout and "gcp:" not in preview.stdout
