"""Copied and moved checkouts, and other stacks' state in a checkout: nothing of theirs is lost."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.checkout import Checkout, copy_with_quick_servers
from tests.processes import is_running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COPY_NOTE = "note: this checkout is a copy of {}, which keeps its stack, servers and model"


@pytest.fixture(params=["embedded", "pulumi"])
def checkout(
    request: pytest.FixtureRequest, tmp_path: Path, demo_model: Path
) -> Iterator[Checkout]:
    """A checkout whose stack `local` is up, with a stand-in for the server."""
    if request.param == "pulumi" and shutil.which("pulumi") is None:
        pytest.skip("the official pulumi CLI is not on PATH")
    made = copy_with_quick_servers(tmp_path / "A", request.param, demo_model)
    yield made
    for process in made.processes():
        process.kill()


def copy_of(checkout: Checkout, name: str) -> Checkout:
    folder = checkout.folder.with_name(name)
    shutil.copytree(checkout.folder, folder, symlinks=True)
    return dataclasses.replace(checkout, folder=folder)


def test_copies_leave_the_original_alone_and_a_moved_checkout_goes_on(checkout: Checkout) -> None:
    pids, models = (checkout.server_pid(), checkout.web_pid()), checkout.models()

    def assert_untouched() -> None:
        assert all(map(is_running, pids))
        assert ((checkout.server_pid(), checkout.web_pid()), checkout.models()) == (pids, models)
        assert (checkout.folder / ".state/models" / models[0] / "manifest.json").exists()

    copy = copy_of(checkout, "B")
    output = copy.make("down")
    assert_untouched()
    assert not (copy.folder / ".state").exists()
    assert output.count(COPY_NOTE.format(checkout.folder)) == 1
    assert "nothing to take down" in output

    copy_of(checkout, "C").by_hand("destroy", "--yes")
    assert_untouched()

    copy = copy_of(checkout, "D")
    output = copy.make("refresh")
    assert_untouched()
    assert copy.models() == models
    assert COPY_NOTE.format(checkout.folder) in output

    moved = dataclasses.replace(checkout, folder=checkout.folder.with_name("E"))
    checkout.folder.rename(moved.folder)
    assert "a copy of" not in moved.make("down")
    assert not any(map(is_running, pids))
    assert not (moved.folder / ".state").exists()


def test_make_down_leaves_the_state_of_other_stacks(checkout: Checkout) -> None:
    local = checkout.folder / ".state/.pulumi/stacks/diffusion-serving/local.json"
    dev = local.with_name("dev.json")
    text = local.read_text()
    dev.write_text(text.replace("urn:pulumi:local", "urn:pulumi:dev").replace("dynamic/", "x/"))
    before = dev.read_text()
    output = checkout.make("down")
    assert dev.read_text() == before
    assert "note: .state stays: it holds the state of dev" in output
    assert not local.exists() and checkout.models() == []
    assert not (checkout.folder / ".state/server").exists()
    assert not (checkout.folder / ".state/web").exists()
    assert checkout.processes() == []
