"""The start script, run by a real bash with stand-ins for the server."""

from __future__ import annotations

import signal
import subprocess

from serving.tensorflow_serving.starting import start_command
from tests.serving.tensorflow_serving.mounted import mounted

SOURCE = "2026-05-01 10:00:00.000000: {} tensorflow_serving/sources/storage_path/{}"
NO_VERSION = SOURCE.format("W", "file_system_storage_path_source.cc:314] No versions of servable ")
NO_FOLDER = SOURCE.format(
    "E",
    "file_system_storage_path_source.cc:416] FileSystemStoragePathSource encountered a filesystem "
    "access error: Could not find base path ",
)
"""What TensorFlow Serving 2.20 logs when it finds no model."""


def start(script: str, *arguments: str) -> list[str]:
    """The command that starts `script` as the server."""
    return [*mounted(start_command("bash")), "-c", script, "server", *arguments]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(start(script, *arguments), check=False, capture_output=True, timeout=60)


def test_the_servers_output_and_arguments_are_passed_on_unchanged() -> None:
    lines = b"  a\\b\t\xff *\n\n$(no) `no` %s\nlast"
    shown = "".join(f"\\x{byte:02x}" for byte in lines)
    done = run(f"printf '{shown}' >&2; printf '%s\n' \"$@\"", "--a=b c", "*")
    assert done.stderr == lines + b"\n"
    assert done.stdout == b"--a=b c\n*\n"
    assert done.returncode == 0


def test_the_servers_exit_code_is_the_containers() -> None:
    assert run("exit 255").returncode == 255
    assert run("kill -KILL $$").returncode == 128 + signal.SIGKILL


def test_a_server_that_is_not_in_the_image_fails() -> None:
    command = mounted(start_command("/no/such/server"))
    assert subprocess.run(command, check=False, capture_output=True).returncode == 127


def test_a_server_that_finds_no_model_is_ended() -> None:
    for line in (NO_VERSION, NO_FOLDER):
        done = run(f"echo before >&2; echo '{line}' >&2; exec sleep 600")
        before, found, why = done.stderr.decode().splitlines()
        assert (before, found) == ("before", line)
        assert why.startswith("start: the server found no model")
        assert done.returncode == 1


def test_the_same_words_elsewhere_in_the_log_end_nothing() -> None:
    line = f"request: {NO_VERSION.partition('] ')[2]}"
    assert run(f"echo '{line}' >&2; exit 7").returncode == 7
