"""A stack that an earlier commit's code brought up: an `up` by this code has nothing to do.

What a state names does not move: types, resources, their properties, and the providers' classes.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import dill
import psutil
import pytest
from pulumi.dynamic import ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider

from infra.local import LocalModelServerProvider
from model_export.resource import ModelExportProvider
from tests.deploy.checkout import ROOT, Checkout, archived_code, copy_checkout
from tests.stacks import run_of

EARLIER = "3f31064f322b3bcffcaa0e1bd5b676255c2619b8"
"""The last commit whose client, engine and devserver are flat folders: most modules have moved."""
ENGINES = ["embedded", "pulumi"]

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


def test_the_local_stack_registers_the_resources_of_an_earlier_state() -> None:
    registered = {f"{r.type}::{r.name}": r.inputs.keys() for r in run_of("local").resources}
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
    made.add_model(demo_model)
    yield made
    try:
        if (made.folder / ".state").exists():
            made.make("down")
    finally:  # code that cannot read the state leaves the server
        for process in made.processes():
            process.kill()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_stack_of_an_earlier_commit_goes_on_unchanged(earlier: Checkout) -> None:
    checkout = earlier
    assert "3 created" in checkout.make("up")
    server = psutil.Process(checkout.server_pid())
    checkout.lay(ROOT)
    checkout.take_over(checkout.engine)
    assert "state        ready" in checkout.make("status")
    checkout.make("down")
    assert not server.is_running()
    assert checkout.processes() == []
    assert not (checkout.folder / ".state").exists()
