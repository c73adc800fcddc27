"""The preStop script, run by a real bash against real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.tensorflow_serving.starting import PROCESS_NAME, SERVER, start_command
from serving.tensorflow_serving.stopping import drain_command
from tests.serving.tensorflow_serving.mounted import mounted

NAME = "tf_prestop_test"
BUSY = "end=$((SECONDS + {busy})); while ((SECONDS < end)); do :; done; read -r _"


@pytest.fixture
def script() -> list[str]:
    return mounted(drain_command(lag_seconds=0.1, process_name=NAME))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[list[str]]:
    """The command of a program with the server's name, which waits for input while idle."""
    copy = tmp_path / NAME
    shutil.copy2("/bin/bash", copy)
    yield [str(copy), "-c"]


def start(server: list[str], busy: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*server, BUSY.format(busy=busy)], stdin=subprocess.PIPE)


def run(script: list[str]) -> None:
    subprocess.run(script, check=True, timeout=240)


def test_the_process_name_is_the_servers_name_in_proc(tmp_path: Path) -> None:
    program = tmp_path / SERVER
    shutil.copy2("/bin/bash", program)
    command = [str(program), "-c", "read -r name </proc/$$/comm; echo $name"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert shown == PROCESS_NAME


@pytest.mark.slow
def test_an_idle_server_is_stopped(script: list[str], server: list[str]) -> None:
    with start(server, busy=0) as process:
        try:
            run(script)
            assert process.wait(60) == -15
        finally:
            process.kill()


@pytest.mark.slow
def test_a_drained_server_ends_its_container(
    script: list[str], server: list[str], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "never")
    idle = f"echo up; read -r _ <>{tmp_path / 'never'}"
    command = [*mounted(start_command(server[0])), *server[1:], idle]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as container:
        try:
            assert container.stdout and container.stdout.readline() == b"up\n"
            run(script)
            assert container.wait(60) == 128 + 15
        finally:
            container.kill()


@pytest.mark.slow
def test_a_busy_server_is_waited_for(script: list[str], server: list[str]) -> None:
    with start(server, busy=8) as process:
        try:
            began = time.monotonic()
            run(script)
            assert time.monotonic() - began >= 8
            assert process.wait(60) == -15
        finally:
            process.kill()


def test_a_server_that_has_exited_needs_no_wait() -> None:
    began = time.monotonic()
    run(mounted(drain_command(lag_seconds=60, process_name=NAME)))
    assert time.monotonic() - began < 30
