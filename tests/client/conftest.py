"""Shared fixtures: a fake server, and the command line run in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.command_line.cli import main
from tests.client import stub_tools
from tests.client.commands import CommandLine, Ran
from tests.client.fake_serving import FakeServing
from tests.client.fake_web import FakeWeb
from tests.client.stub_tools import StubTools
from tests.processes import free_ports


@pytest.fixture
def server() -> Iterator[FakeServing]:
    serving = FakeServing()
    yield serving
    serving.close()


@pytest.fixture
def web(server: FakeServing) -> Iterator[FakeWeb]:
    """A web service in front of the fake server."""
    service = FakeWeb(server)
    yield service
    service.close()


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """Runs the command line in an empty folder, as `run("status", "--endpoint", …)`.

    Progress is off: on a slow machine it would be a second line beside an error.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("client.command_line.progress.QUIET_SECONDS", 3600)
    monkeypatch.setenv("no_proxy", "*")

    def run_command(*argv: str) -> Ran:
        capsys.readouterr()
        try:
            code = main(argv)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_command


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens."""
    return free_ports(1)[0]


@pytest.fixture
def tools(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, server: FakeServing
) -> StubTools:
    """Only these tools are on PATH, and they describe a healthy stack `dev`."""
    stubs = StubTools(tmp_path_factory.mktemp("tools"))
    stub_tools.healthy(stubs, server.endpoint)
    monkeypatch.setenv("PATH", str(stubs.path))
    monkeypatch.setenv("ENGINE", "pulumi")
    return stubs
