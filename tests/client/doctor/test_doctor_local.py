"""`doctor` on this machine: the server's process, its port, its log and its model."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from client.doctor.examination import examine, verdict
from client.doctor.finding import Finding, State
from infra.local.server_record import ServerRecord
from prediction.errors import ClientError
from tests.client.fake_serving import FINGERPRINT, FakeServing
from tests.client.stub_tools import StubTools


class Checkout:
    """A checkout with a stack `local` whose server is the fake one, run by this process."""

    def __init__(self, folder: Path, tools: StubTools) -> None:
        self.root = folder
        self.state = folder / ".state" / "server"
        self.state.mkdir(parents=True)
        self._tools = tools
        (self.state / "server.log").write_text("loading\nready\n")
        self.record(os.getpid(), psutil.Process().create_time())

    def record(self, pid: int, started: float, **more: Any) -> None:
        """Writes what `infra.local.server_process` writes of a server that it started."""
        record = ServerRecord(pid, started, serves="m", host="h", ports=(1,), **more)
        (self.state / "server.json").write_text(record.to_json())

    def deploys(self, endpoint: str) -> None:
        self._tools.answer(
            "pulumi", "stack output", {"endpoint": endpoint, "fingerprint": FINGERPRINT}
        )

    def has_web_service(self, page: str, pid: int) -> None:
        """The stack has a web service at `page`, recorded as this process."""
        outputs = {"endpoint": page, "page": page, "modelEndpoint": page}
        self._tools.answer("pulumi", "stack output", outputs)
        folder = self.root / ".state" / "web"
        folder.mkdir()
        (folder / "web.log").write_text("start\n")
        record = ServerRecord(pid, psutil.Process().create_time(), module="web")
        (folder / "server.json").write_text(record.to_json())

    def findings(self) -> dict[str, Finding]:
        return {finding.check: finding for finding in examine("local", self.root)}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServing) -> Checkout:
    tools = StubTools(tmp_path)
    monkeypatch.setenv("PATH", str(tools.path))
    monkeypatch.setenv("ENGINE", "pulumi")
    monkeypatch.setenv("no_proxy", "*")
    made = Checkout(tmp_path, tools)
    made.deploys(server.endpoint)
    return made


def test_a_running_server_is_ok_and_its_last_log_lines_are_shown(checkout: Checkout) -> None:
    found = checkout.findings()
    assert list(found) == ["stack", "server", "port", "log", "service"]
    assert verdict(found.values()) is State.OK
    assert found["log"].lines == ("loading", "ready")
    assert str(os.getpid()) in found["server"].message


def test_both_processes_are_checked_where_there_is_a_web_service(
    checkout: Checkout, server: FakeServing
) -> None:
    checkout.has_web_service(server.endpoint, os.getpid())
    found = list(examine("local", checkout.root))
    checks = ["stack", "server", "port", "log", "web", "port", "log", "service"]
    assert [finding.check for finding in found] == checks
    assert found[1].message == f"the model server runs as process {os.getpid()}"
    assert found[4].message == f"the web service runs as process {os.getpid()}"
    assert found[6].lines == ("start",)


def test_a_web_service_that_died_alone_is_what_to_start(
    checkout: Checkout, server: FakeServing
) -> None:
    checkout.has_web_service(server.endpoint, 2**22 + 1)  # above the highest process id
    _, model_server, _, _, web, port, *_ = examine("local", checkout.root)
    assert model_server.state is State.OK
    says = "the web service is not running: start it with `make up`"
    assert (web.state, web.message) == (State.WRONG, says)
    assert "stop it, or choose another webPort" in port.message


def test_no_cloud_tool_is_run(checkout: Checkout) -> None:
    checkout.findings()
    asked = (checkout.root / "asked").read_text().splitlines()
    assert len(asked) == 1 and " pulumi stack output" in asked[0]


def test_another_process_with_the_servers_id_is_not_the_server(
    checkout: Checkout,
) -> None:
    checkout.record(os.getpid(), psutil.Process().create_time() - 100)
    found = checkout.findings()
    assert found["server"].state is State.WRONG
    assert "start it with `make up`" in found["server"].message
    assert "another program is listening" in found["port"].message


def test_a_server_in_another_pid_namespace_is_named(checkout: Checkout) -> None:
    checkout.record(os.getpid(), 0.0, locked=True, pid_namespace="another", hostname="box")
    with (checkout.state / "server.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = checkout.findings()
    assert found["server"].state is State.UNKNOWN
    assert f"process {os.getpid()} on box, in another container" in found["server"].message
    assert found["port"].state is State.OK


@pytest.mark.parametrize("record", ["", "{", "[]", '{"pid": "x", "started": 1}', '{"pid": -1}'])
def test_a_damaged_record_means_no_server(checkout: Checkout, record: str) -> None:
    (checkout.state / "server.json").write_text(record)
    assert checkout.findings()["server"].state is State.WRONG


def test_a_closed_port_is_wait_while_the_server_process_runs(
    checkout: Checkout, free_port: int
) -> None:
    checkout.deploys(f"http://127.0.0.1:{free_port}")
    assert checkout.findings()["port"].state is State.WAIT
    (checkout.state / "server.json").unlink()
    found = checkout.findings()
    assert found["port"].state is State.WRONG
    assert "cannot connect to 127.0.0.1" in found["port"].message
    assert found["service"].state is State.WRONG


def test_a_first_up_that_failed_shows_the_servers_log(checkout: Checkout) -> None:
    """It stored no outputs."""
    checkout.deploys("")
    (checkout.state / "server.json").unlink()
    found = checkout.findings()
    assert list(found) == ["stack", "server", "log"]
    assert "has no output `endpoint`: deploy it with `make up`" in found["stack"].message
    assert found["server"].state is State.WRONG
    assert found["log"].lines == ("loading", "ready")


def test_a_missing_log_is_a_one_line_finding(checkout: Checkout) -> None:
    (checkout.state / "server.log").unlink()
    found = checkout.findings()["log"]
    assert (found.state, "server.log" in found.message) == (State.WRONG, True)


def test_the_worst_finding_is_the_verdict() -> None:
    def of(*states: State) -> State:
        return verdict(Finding("c", state, "m") for state in states)

    assert of() is State.OK
    assert of(State.OK, State.WAIT) is State.WAIT
    assert of(State.WAIT, State.UNKNOWN, State.OK) is State.UNKNOWN
    assert of(State.UNKNOWN, State.WRONG) is State.WRONG


def test_a_stack_name_that_looks_like_an_option_is_rejected() -> None:
    with pytest.raises(ClientError, match="is not a stack name"):
        list(examine("--show-secrets"))
