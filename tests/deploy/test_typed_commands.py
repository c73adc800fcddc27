"""`make unlock` and `make env`: what make says to type works."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.checkout import ROOT, Checkout, copy_checkout
from tests.google_credentials import signed_in, token_server

pytestmark = pytest.mark.slow

OFFICIAL = pytest.mark.skipif(
    shutil.which("pulumi") is None, reason="the official CLI is not on PATH"
)


def lock_from_elsewhere(checkout: Checkout) -> Path:
    folder = checkout.folder / ".state/.pulumi/locks/organization/diffusion-serving/local"
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "0b1c.json"
    holder = {"pid": 7, "username": "ada", "hostname": "elsewhere"}
    lock.write_text(json.dumps({**holder, "timestamp": "2026-01-01T00:00:00Z"}))
    return lock


def test_make_unlock_is_what_the_embedded_engine_says_to_type(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout", "embedded")
    assert "nothing to unlock" in checkout.make("unlock")
    checkout.make("refresh")
    lock = lock_from_elsewhere(checkout)
    said = checkout.make("refresh", code=2)
    assert "ada@elsewhere" in said
    assert re.findall(r"run `([^`]*)`", said) == ["make unlock"]
    assert "ada@elsewhere" in checkout.make("unlock")
    assert not lock.exists()
    output = checkout.make("down")
    assert "stack rm" not in output
    assert not (checkout.folder / ".state").exists()


@OFFICIAL
def test_make_unlock_with_the_official_cli(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout", "pulumi")
    checkout.make("refresh")
    lock = lock_from_elsewhere(checkout)
    checkout.make("refresh", code=2)
    checkout.make("unlock")
    assert not lock.exists()
    checkout.make("down")


def test_the_logs_of_another_stack_are_not_the_local_servers(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout", "embedded")
    output = checkout.make("logs", "STACK=dev", code=2)
    assert "make doctor STACK=dev" in output


def test_make_help_lists_unlock() -> None:
    assert re.search(r"^unlock: .*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_environment_for_pulumi_says_which_stack_it_is_for(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "it's #1 (100 %)", "embedded")
    ran = subprocess.run(
        ["sh", "-c", 'eval "$(make env)"; echo "$PULUMI_BACKEND_URL"; ls -d .state'],
        cwd=checkout.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "for the stack local" in ran.stderr
    url, folder = ran.stdout.split("\n")[:2]
    assert url == f"file://{tmp_path}/it's %231 (100 %25)/.state" and folder == ".state"
    assert "only for the stack local" in checkout.make("env", "STACK=dev", code=2)


def test_a_new_cloud_stack_in_the_checkouts_own_backend_is_refused(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout", "pulumi")
    stub = tmp_path / "bin/pulumi"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/calls"\n')
    stub.chmod(0o755)
    path = f"{stub.parent}:{os.environ['PATH']}"
    backend = f"file://{checkout.folder}/.state"  # as in a shell with `make env`
    output = checkout.make("up", code=2, STACK="dev", PATH=path, PULUMI_BACKEND_URL=backend)
    lines = [line for line in output.splitlines() if not line.startswith("make: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: stack dev would keep its state in ")
    assert not (tmp_path / "calls").exists()

    there = checkout.folder / ".state/.pulumi/stacks/diffusion-serving/dev.json"
    there.parent.mkdir(parents=True)
    there.write_text("{}")
    with token_server() as google:
        usable = {**signed_in(tmp_path, google.key()), "PATH": path, "PULUMI_BACKEND_URL": backend}
        output = checkout.make("refresh", STACK="dev", **usable)
    assert "warning: stack dev keeps its state in " in output and "docs/gke.md" in output
    assert "refresh --yes --stack dev" in (tmp_path / "calls").read_text()


def test_the_documented_command_makes_a_stack_of_ones_own(tmp_path: Path) -> None:
    """As docs/gke.md has it, with a project."""
    checkout = copy_checkout(tmp_path / "checkout", "pulumi")
    documented = (ROOT / "docs/gke.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (command,) = re.findall(r"^make stack (.*)$", documented, re.MULTILINE)
    typed = command.replace("YOUR_PROJECT_ID", "my-project")
    before = (checkout.folder / "Pulumi.dev.yaml").read_bytes()
    said = checkout.make("stack", *shlex.split(typed))
    assert said.splitlines()[-1] == "next  make key STACK=mine NAME=alice"
    assert (checkout.folder / "Pulumi.dev.yaml").read_bytes() == before
    table = checkout.make("render", "STACK=mine")
    assert "kubernetes:apps/v1:Deployment" in table
    # Keys are secrets of the stack, and what they are replaced by is the same for every stack.
    placeholders = set(re.findall(r"^(\S+): using the placeholder", table, re.MULTILINE))
    assert placeholders <= {"apiKeys", "webImage"}
    assert "Pulumi.mine.yaml exists" in checkout.make("stack", *shlex.split(typed), code=2)


@pytest.mark.parametrize("engine", ["embedded", pytest.param("pulumi", marks=OFFICIAL)])
def test_keys_that_nothing_reads_are_warnings_of_make_preview(tmp_path: Path, engine: str) -> None:
    checkout = copy_checkout(tmp_path / "checkout", engine)
    checkout.set("machineType", "n2-standard-4")  # the default
    with (checkout.folder / "Pulumi.local.yaml").open("a") as file:
        file.write("  spot: true\n  gcp:projct: mine\n")
    output = checkout.make("preview")
    diagnostics = output.partition("Diagnostics:")[2]
    assert re.findall(r"warning: (\S+): (.*)", diagnostics) == [
        ("gcp:projct", "nothing reads this key; did you mean gcp:project?"),
        ("machineType", "has no effect with target local"),
        ("spot", "has no effect with target local"),
    ]


@OFFICIAL
def test_the_official_cli_changes_ones_own_stack_and_no_committed_file(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout", "pulumi")
    settings = ("PROJECT=my-project", "RANGES=203.0.113.7/32", "LICENCE=CreativeML Open RAIL-M")
    checkout.make("stack", "STACK=mine", "FROM=dev", *settings)
    (tmp_path / "backend").mkdir()
    environment = os.environ | {
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/backend",
        "PULUMI_CONFIG_PASSPHRASE": "",
    }

    def pulumi(*arguments: str) -> str:
        command = ["pulumi", *arguments, "--stack", "mine"]
        return subprocess.run(
            command,
            cwd=checkout.folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    before = {file: file.read_bytes() for file in checkout.folder.glob("Pulumi.[!m]*.yaml")}
    pulumi("stack", "select", "--create")
    pulumi("config", "set", "maxNodes", "3")
    assert {file: file.read_bytes() for file in before} == before
    found = {key: one["value"] for key, one in json.loads(pulumi("config", "--json")).items()}
    assert found["gcp:project"] == "my-project"
    assert found["diffusion-serving:allowedSourceRanges"] == "203.0.113.7/32"
    assert found["diffusion-serving:acceptLicence"] == "CreativeML Open RAIL-M"
    assert (found["diffusion-serving:maxNodes"], found["diffusion-serving:steps"]) == ("3", "30")
