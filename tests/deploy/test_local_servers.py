"""The two servers of the stack `local`: what died is revived, and nothing else is touched.

With stand-ins for the servers, which start at once.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.checkout import Checkout, copy_with_quick_servers
from tests.processes import is_running, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(params=["embedded", "pulumi"])
def checkout(
    request: pytest.FixtureRequest, tmp_path: Path, demo_model: Path
) -> Iterator[Checkout]:
    if request.param == "pulumi" and shutil.which("pulumi") is None:
        pytest.skip("the official pulumi CLI is not on PATH")
    made = copy_with_quick_servers(tmp_path / "checkout", request.param, demo_model)
    yield made
    for process in made.processes():
        process.kill()


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: not is_running(pid), "the server's end")


def test_up_revives_exactly_the_servers_that_were_killed(checkout: Checkout) -> None:
    def pids() -> tuple[int, int]:
        return checkout.server_pid(), checkout.web_pid()

    server, web = pids()
    kill(server)
    checkout.by_hand("up", "--yes", "--refresh")
    assert pids()[0] != server and pids()[1] == web

    server, web = pids()
    kill(server, web)
    checkout.by_hand("up", "--yes", "--refresh")
    assert not {server, web} & set(pids())
    assert all(map(is_running, pids()))
