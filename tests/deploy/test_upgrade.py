"""A stack that an earlier commit's code brought up: an `up` by this code goes on with it.

What a state names does not move: types, resources, their properties, and the providers' classes.
So there is nothing to do, unless the exporter makes another graph: then the model is replaced.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dill
import pytest
from pulumi.dynamic import ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider

from infra.local import LocalModelServerProvider
from model_export.resource import ModelExportProvider
from model_export.spec import EXPORTER_VERSION
from tests.deploy.checkout import ROOT, Checkout, archived_code, copy_checkout
from tests.processes import is_running
from tests.stacks import run_of

EARLIER = "3f31064f322b3bcffcaa0e1bd5b676255c2619b8"
"""The last commit whose client, engine and devserver are flat folders: most modules have moved."""
ENGINES = ["embedded", "pulumi"]
_VERSION_LINE = r"EXPORTER_VERSION = (\d+)"

# From the state that the code of EARLIER wrote: of each resource its provider and its inputs.
STORED: dict[str, tuple[type[ResourceProvider], str, set[str]]] = {
    "pulumi-python:dynamic/diffusion:ModelExport::model": (
        ModelExportProvider,
        "gASVNAAAAAAAAACMFW1vZGVsX2V4cG9ydC5yZXNvdXJjZZSME01vZGVsRXhwb3J0UHJvdmlkZXKUk5QpgZQu",
        {"__provider", "destination", "fingerprint", "owner", "spec"},
    ),
    "pulumi-python:dynamic/diffusion:LocalModelServer::server": (
        LocalModelServerProvider,
        "gASVLwAAAAAAAACMC2luZnJhLmxvY2FslIwYTG9jYWxNb2RlbFNlcnZlclByb3ZpZGVylJOUKYGULg==",
        {
            *("__provider", "modelUri", "modelName", "host", "restPort", "grpcPort", "queue"),
            *("requestTimeoutSeconds", "stateFolder"),
        },
    ),
}


@pytest.mark.parametrize("resource", STORED)
def test_the_provider_in_an_earlier_state_is_found_and_stored_the_same(resource: str) -> None:
    provider, stored, _ = STORED[resource]
    assert type(dill.loads(base64.b64decode(stored))) is provider
    assert serialize_provider(provider()) == stored


def test_the_local_stack_registers_the_resources_of_an_earlier_state_and_one_more() -> None:
    registered = {f"{r.type}::{r.name}": r.inputs.keys() for r in run_of("local").resources}
    added = "pulumi-python:dynamic/diffusion:LocalWebService::web"
    assert registered.pop(added)
    assert registered == {name: inputs for name, (_, _, inputs) in STORED.items()}


@pytest.fixture(params=ENGINES)
def earlier(request: pytest.FixtureRequest, tmp_path: Path, demo_model: Path) -> Iterator[Checkout]:
    """A checkout of the earlier commit, with the model that it would export."""
    if request.param == "pulumi" and shutil.which("pulumi") is None:
        pytest.skip("the official pulumi CLI is not on PATH")
    code = archived_code(EARLIER, tmp_path / "earlier")
    if code is None:
        pytest.skip(f"the history here lacks commit {EARLIER[:7]}")
    made = copy_checkout(tmp_path / "checkout", request.param, code)
    # Under its former name, so that the earlier code need not export its own.
    command = [sys.executable, "-m", "model_export", "fingerprint"]
    name = subprocess.run(command, cwd=made.folder, check=True, capture_output=True, text=True)
    made.add_model(demo_model, name.stdout.strip())
    yield made
    try:
        if (made.folder / ".state").exists():
            made.make("down")
    finally:  # code that cannot read the state leaves the server
        for process in made.processes():
            process.kill()


def exporter_version(checkout: Path) -> int:
    found = re.search(_VERSION_LINE, (checkout / "model_export/spec.py").read_text())
    assert found is not None
    return int(found[1])


def set_exporter_version(checkout: Path, version: int) -> None:
    spec = checkout / "model_export/spec.py"
    spec.write_text(re.sub(_VERSION_LINE, f"EXPORTER_VERSION = {version}", spec.read_text()))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_stack_of_an_earlier_commit_goes_on_and_gets_a_web_service(
    earlier: Checkout, demo_model: Path
) -> None:
    checkout = earlier
    assert "3 created" in checkout.make("up")
    server = checkout.server_pid()
    former_version = exporter_version(checkout.folder)
    checkout.lay(ROOT)
    set_exporter_version(checkout.folder, former_version)
    output = checkout.make("up")
    assert "1 created" in output and "unchanged" in output
    for word in ("updated", "replaced", "deleted"):
        assert word not in output
    assert checkout.server_pid() == server
    assert "state        ready" in checkout.make("status")

    # This code's own exporter: another model in place of the former one, which goes.
    set_exporter_version(checkout.folder, EXPORTER_VERSION)
    if former_version != EXPORTER_VERSION:
        checkout.add_model(demo_model)
        assert demo_model.name in checkout.make("up")
        assert checkout.models() == [demo_model.name]
        assert "state        ready" in checkout.make("status")
    last = (checkout.server_pid(), checkout.web_pid())
    checkout.make("down")
    assert not any(map(is_running, (server, *last)))
    assert checkout.processes() == []
    assert not (checkout.folder / ".state").exists()
