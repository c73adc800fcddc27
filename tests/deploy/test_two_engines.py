"""One running local stack, two engines: either one can continue from the other's deployment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.checkout import Checkout, copy_checkout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        shutil.which("pulumi") is None, reason="the official Pulumi CLI is not on PATH"
    ),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = copy_checkout(tmp_path / "checkout", "embedded")
    yield made
    if (made.folder / ".state").exists():
        made.make("down")


@pytest.mark.parametrize(("first", "second"), [("embedded", "pulumi"), ("pulumi", "embedded")])
def test_a_running_stack_can_switch_engines_and_back(
    checkout: Checkout, first: str, second: str
) -> None:
    checkout.make("up", ENGINE=first)
    checkout.take_over(second)

    old = checkout.models()
    checkout.set("steps", 4)
    assert "created" in checkout.make("up", ENGINE=second)
    assert len(checkout.models()) == 1 and checkout.models() != old
    assert "state        ready" in checkout.make("status", ENGINE=second)

    checkout.take_over(first)
    checkout.make("down", ENGINE=first)
    assert not (checkout.folder / ".state").exists()
    assert checkout.processes() == []
