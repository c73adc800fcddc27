"""A proxy in the environment is not asked for the loopback, and still for everything else."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator

import pytest

from engine.processes.loopback import with_direct_loopback
from tests.engine.processes.refusing_proxy import RefusingProxy
from tests.engine.pulumi_project import PulumiProject

pytestmark = pytest.mark.slow

LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[RefusingProxy]:
    made = RefusingProxy()
    made.put_into(monkeypatch)
    yield made
    made.close()


@pytest.mark.parametrize("exceptions", ["", "*", "corp.example"])
def test_engine_program_and_provider_reach_each_other_despite_a_proxy(
    exact_project: PulumiProject,
    proxy: RefusingProxy,
    monkeypatch: pytest.MonkeyPatch,
    exceptions: str,
) -> None:
    if exceptions:
        monkeypatch.setenv("no_proxy", exceptions)
    exact_project.program('a = Thing("a")\npulumi.export("serial", a.serial)')
    exact_project.up("--skip-preview")
    assert set(exact_project.cloud) == {"a"}
    assert proxy.requests == []


def test_a_program_still_asks_the_proxy_for_other_hosts(
    exact_project: PulumiProject, proxy: RefusingProxy
) -> None:
    exact_project.program("""
import urllib.error, urllib.request
try:
    urllib.request.urlopen("http://elsewhere.example/")
except urllib.error.HTTPError as error:
    pulumi.export("status", error.code)
""")
    exact_project.up("--skip-preview")
    assert exact_project.resources()["things-dev"].outputs == {"status": 502}
    assert all("elsewhere.example" in request for request in proxy.requests)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (LOOPBACK, LOOPBACK, LOOPBACK)),
        ({"no_proxy": "a.b, c"}, (f"a.b,c,{LOOPBACK}",) * 3),
        ({"NO_PROXY": "a"}, (f"a,{LOOPBACK}",) * 3),
        ({"no_proxy": "a", "NO_PROXY": "b"}, (f"a,{LOOPBACK}", f"b,{LOOPBACK}", f"a,{LOOPBACK}")),
        ({"no_proxy": "*"}, ("*", "*", f"*,{LOOPBACK}")),
        ({"no_proxy": "a", "no_grpc_proxy": "::1,g"}, (
            f"a,{LOOPBACK}", f"a,{LOOPBACK}", "::1,g,127.0.0.1,localhost",
        )),
    ],
)  # fmt: skip
def test_exceptions_of_the_user_are_kept(
    given: dict[str, str], expected: tuple[str, str, str]
) -> None:
    made = with_direct_loopback({"PATH": "/bin", **given})
    assert (made["no_proxy"], made["NO_PROXY"], made["no_grpc_proxy"]) == expected
    assert made["PATH"] == "/bin"


def test_no_proxy_of_everything_is_still_understood_by_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", with_direct_loopback({"no_proxy": "*"}))
    assert urllib.request.proxy_bypass("elsewhere.example")
