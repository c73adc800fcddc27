"""Ports that other programs hold: found before anything starts, with the lines that remedy it."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pulumi
import pytest
import yaml

from infra.local import ports
from infra.local import resource as local
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


def test_both_ports_are_named_at_once_with_lines_for_the_stacks_file(
    taken: tuple[int, int], tmp_path: Path
) -> None:
    with pytest.raises(pulumi.RunError) as error:
        local.require_free_ports(LocalSettings(*taken), tmp_path)
    first, *lines = str(error.value).splitlines()
    assert f"ports {taken[0]} and {taken[1]} are in use by other programs" in first
    assert f"Pulumi.{pulumi.get_stack()}.yaml, under `config:`" in first
    settings = yaml.safe_load("\n".join(["config:", *lines]))["config"]
    assert list(settings) == ["diffusion-serving:restPort", "diffusion-serving:grpcPort"]
    rest_port, grpc_port = settings.values()
    local.require_free_ports(LocalSettings(rest_port, grpc_port), tmp_path)


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


def test_the_ports_of_our_own_server_are_free_for_it(
    taken: tuple[int, int], tmp_path: Path
) -> None:
    record = ServerRecord(os.getpid(), rest_port=taken[0], grpc_port=taken[1], locked=True)
    (tmp_path / RECORD_FILE).write_text(record.to_json())
    with (tmp_path / RECORD_FILE).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        local.require_free_ports(LocalSettings(*taken), tmp_path)
        local.require_free_ports(LocalSettings(taken[1], taken[0]), tmp_path)
    with pytest.raises(pulumi.RunError):
        local.require_free_ports(LocalSettings(*taken), tmp_path)


@pytest.mark.parametrize("port", [1024, 65534, 65535])
def test_a_proposed_port_is_a_valid_one(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _host, number: number != port)
    problem = ports.problem(HOST, {"restPort": port}) or ""
    proposed = int(problem.rpartition(" ")[2])
    assert 1024 <= proposed <= 65535 and proposed != port


def test_what_a_stack_would_create_does_not_depend_on_taken_ports(taken: tuple[int, int]) -> None:
    run = run_program("local", restPort=str(taken[0]), grpcPort=str(taken[1]))
    assert run.outputs["modelName"] == "stable-diffusion"
