"""Ports that other programs hold: found before anything starts, with the lines that remedy it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pulumi
import pytest
import yaml

from infra.local import ports
from infra.local.required_ports import require_free_ports
from infra.local.server_record import RECORD_FILE, ServerRecord
from infra.settings.stack import LocalSettings
from render.recorder import run_program
from tests.processes import free_ports

HOST = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[tuple[int, int]]:
    """Two ports that another program listens on."""
    numbers = free_ports(2)
    with ExitStack() as listeners:
        for number in numbers:
            listeners.enter_context(socket.create_server((HOST, number)))
        yield numbers[0], numbers[1]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The state folders of the model server and of the web service."""
    found = tmp_path / "server", tmp_path / "web"
    for folder in found:
        folder.mkdir()
    return found


@contextmanager
def running(folder: Path, module: str, *ports: int) -> Iterator[None]:
    """A server that runs with these ports, by its record."""
    record = ServerRecord(os.getpid(), module=module, ports=ports, locked=True)
    (folder / RECORD_FILE).write_text(record.to_json())
    with (folder / RECORD_FILE).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def test_all_taken_ports_are_named_at_once_with_lines_for_the_stacks_file(
    taken: tuple[int, int], folders: tuple[Path, Path]
) -> None:
    free = free_ports(2)
    with pytest.raises(pulumi.RunError) as error:
        require_free_ports(LocalSettings(taken[0], free[0], taken[1], free[1]), *folders)
    first, *lines = str(error.value).splitlines()
    assert f"ports {taken[0]} and {taken[1]} are in use by other programs" in first
    assert f"Pulumi.{pulumi.get_stack()}.yaml, under `config:`" in first
    settings = yaml.safe_load("\n".join(["config:", *lines]))["config"]
    assert list(settings) == ["diffusion-serving:restPort", "diffusion-serving:webPort"]
    rest_port, web_port = settings.values()
    require_free_ports(LocalSettings(rest_port, free[0], web_port, free[1]), *folders)


def test_only_a_taken_port_is_named(taken: tuple[int, int]) -> None:
    (free,) = free_ports(1)
    problem = ports.problem(HOST, {"restPort": free, "grpcPort": taken[0]})
    assert problem and f"port {taken[0]} is in use by another program" in problem
    assert "grpcPort" in problem and "restPort" not in problem
    assert ports.problem(HOST, {"restPort": free}) is None


def test_the_process_that_has_the_ports_is_named(
    taken: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a server whose `.state` was removed by hand, of which nothing else tells."""
    wanted = {"restPort": taken[0], "grpcPort": taken[1]}
    problem = ports.problem(HOST, wanted)
    assert problem and f"(process {os.getpid()}, in {Path.cwd()}): stop it" in problem

    def denied(_kind: str) -> None:
        raise psutil.AccessDenied(None, None, None)

    monkeypatch.setattr(psutil, "net_connections", denied)
    problem = ports.problem(HOST, wanted)
    assert problem and "(the server of another checkout?)" in problem


def test_the_ports_of_our_own_servers_are_free_for_them(
    taken: tuple[int, int], folders: tuple[Path, Path]
) -> None:
    free = free_ports(2)
    for_model_server = LocalSettings(*taken, *free), LocalSettings(*reversed(taken), *free)
    with running(folders[0], "devserver", *taken):
        for asked in for_model_server:
            require_free_ports(asked, *folders)
    with running(folders[1], "web", *taken):
        require_free_ports(LocalSettings(*free, *taken), *folders)
    for asked in (*for_model_server, LocalSettings(*free, *taken)):
        with pytest.raises(pulumi.RunError):
            require_free_ports(asked, *folders)


def test_the_web_service_can_take_over_a_port_of_the_model_server_and_not_the_other_way_round(
    taken: tuple[int, int], folders: tuple[Path, Path]
) -> None:
    """The model server is the first to leave its ports, and to need its new ones."""
    free = free_ports(3)
    with running(folders[0], "devserver", taken[0], free[0]):
        require_free_ports(LocalSettings(free[1], free[0], taken[0], free[2]), *folders)
    with (
        running(folders[1], "web", taken[0], free[0]),
        pytest.raises(pulumi.RunError, match=r"(?s)in use by another program.*:restPort: "),
    ):
        require_free_ports(LocalSettings(taken[0], free[1], free[2], free[0]), *folders)


def test_a_record_of_an_earlier_version_which_lacks_a_port_is_trusted(
    taken: tuple[int, int], folders: tuple[Path, Path]
) -> None:
    record = {"pid": os.getpid(), "rest_port": taken[0], "locked": True}
    (folders[0] / RECORD_FILE).write_text(json.dumps(record))
    with (folders[0] / RECORD_FILE).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        require_free_ports(LocalSettings(*taken, *free_ports(2)), *folders)


@pytest.mark.parametrize("port", [1024, 65534, 65535])
def test_a_proposed_port_is_a_valid_one(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _host, number: number != port)
    problem = ports.problem(HOST, {"restPort": port}) or ""
    proposed = int(problem.rpartition(" ")[2])
    assert 1024 <= proposed <= 65535 and proposed != port


def test_what_a_stack_would_create_does_not_depend_on_taken_ports(taken: tuple[int, int]) -> None:
    run = run_program("local", restPort=str(taken[0]), grpcPort=str(taken[1]))
    assert run.outputs["modelName"] == "stable-diffusion"
