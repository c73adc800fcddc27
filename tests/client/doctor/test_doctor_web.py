"""`doctor` on this machine with a web service: which of the two servers is down, and the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.doctor.examination import examine, verdict
from client.doctor.finding import Finding, State
from tests.client.fake_serving import FakeServing
from tests.client.fake_web import FakeWeb
from tests.client.local_stack import LocalStack, port_of


@pytest.fixture
def stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServing, web: FakeWeb
) -> LocalStack:
    made = LocalStack(tmp_path)
    monkeypatch.setenv("PATH", str(made.tools.path))
    monkeypatch.setenv("ENGINE", "pulumi")
    monkeypatch.setenv("no_proxy", "*")
    made.with_web_service(web.endpoint, server.endpoint)
    made.record("server", "devserver", [port_of(server.endpoint)])
    made.record("web", "web", [web.port])
    return made


def findings(stack: LocalStack) -> list[Finding]:
    return list(examine("local", stack.root))


def wrong(stack: LocalStack) -> list[str]:
    """The names of the checks that failed."""
    return [finding.check for finding in findings(stack) if finding.state is State.WRONG]


def test_both_servers_are_examined_and_the_service_is_asked(stack: LocalStack) -> None:
    found = findings(stack)
    checks = ["stack", "server", "port", "log", "web", "port", "log", "service"]
    assert [finding.check for finding in found] == checks
    assert verdict(found) is State.OK
    assert [finding.lines for finding in found if finding.check == "log"] == [
        ("devserver is ready",),
        ("web is ready",),
    ]


def test_a_web_service_that_is_down_is_named(stack: LocalStack, web: FakeWeb) -> None:
    (stack.root / ".state" / "web" / "server.json").unlink()
    web.close()
    assert wrong(stack) == ["web", "port", "service"]
    (finding,) = (finding for finding in findings(stack) if finding.check == "web")
    assert finding.message == "the web service is not running: start it with `make up`"


def test_a_model_server_that_is_down_is_named(
    stack: LocalStack, server: FakeServing, web: FakeWeb
) -> None:
    (stack.root / ".state" / "server" / "server.json").unlink()
    server.close()
    web.state = "unreachable"
    assert wrong(stack) == ["server", "port", "service"]
    assert "does not reach its model server" in findings(stack)[-1].message


def test_both_servers_down_are_both_named(
    stack: LocalStack, server: FakeServing, web: FakeWeb
) -> None:
    for folder in ("server", "web"):
        (stack.root / ".state" / folder / "server.json").unlink()
    server.close()
    web.close()
    assert wrong(stack) == ["server", "port", "web", "port", "service"]


def test_a_model_that_loads_is_something_in_progress(stack: LocalStack, web: FakeWeb) -> None:
    web.state = "loading"
    assert verdict(findings(stack)) is State.WAIT


def test_a_web_service_that_draws_with_another_model_is_wrong(
    stack: LocalStack, server: FakeServing
) -> None:
    assert isinstance(server.described, dict)
    server.described["fingerprint"] = "another"
    assert wrong(stack) == ["service"]


def test_a_first_up_that_failed_shows_the_servers_it_came_to(stack: LocalStack) -> None:
    stack.deploys()
    assert [finding.check for finding in findings(stack)] == [
        *("stack", "server", "log", "web", "log")
    ]
