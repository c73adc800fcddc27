"""A Python command that starts with Pulumi's SDK imported, as a fork of a server.

Importing the SDK takes half a second of CPU, and a step of the differential test starts about ten
such processes. `interpreter` yields a stand-in for Python: it passes its arguments, environment and
open files (fork_client.py) to a server, which forks.
"""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Generator
from pathlib import Path

CLIENT = Path(__file__).with_name("fork_client.py")
# Received descriptors are parked from here on, before they are moved to their numbers.
_FIRST_SPARE_DESCRIPTOR = 100
_MOST_DESCRIPTORS = 50

# Listing packages with pip takes longer than a whole update.
_COMMAND = """#!/bin/sh
case "$*" in
"-m pip --version") echo "pip 25.0 from {prefix} (python 3.11)" ;;
"-m pip list"*) echo "[]" ;;
-u*) exec {python} -I -S {client} {address} "$@" ;;
*) exec {python} "$@" ;;
esac
"""


@contextlib.contextmanager
def interpreter(folder: Path) -> Generator[Path]:
    """The command, in a `bin` folder like that of a virtual environment.

    The fork has its caller's working directory and process group.
    """
    address = folder / "forks"
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "tests.engine.forks", str(address)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        command = folder / "bin" / "python"
        command.parent.mkdir()
        command.write_text(
            _COMMAND.format(
                prefix=sys.prefix, python=sys.executable, client=CLIENT, address=address
            )
        )
        command.chmod(0o755)
        yield command
    finally:
        server.kill()
        server.communicate()


def serve(address: str) -> None:
    """Fork for every connection."""
    import dill  # noqa: F401
    import pulumi.dynamic
    import pulumi.runtime.proto.provider_pb2_grpc  # noqa: F401

    assert threading.active_count() == 1, "a fork would lack the other threads"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies: the forks are never waited for
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready")
        while True:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _become(connection)


def _become(connection: socket.socket) -> None:
    """Run the client's command, send it the exit status, and exit."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, descriptors, _, _ = socket.recv_fds(connection, 1, _MOST_DESCRIPTORS)
        with connection.makefile("rb") as stream:
            size = int(stream.readline())
            group, folder, numbers, arguments, environment = marshal.loads(stream.read(size))
        connection = socket.socket(fileno=_out_of_the_way(connection.detach()))
        spare = [_out_of_the_way(descriptor) for descriptor in descriptors]
        for descriptor, number in zip(spare, numbers, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.setpgid(0, group)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        threading.Thread(target=_end_with_client, args=(connection,), daemon=True).start()
        status = _run(arguments)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(bytes([status & 0xFF]))
    os._exit(status)


def _out_of_the_way(descriptor: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_SPARE_DESCRIPTOR)
    os.close(descriptor)
    return moved


def _end_with_client(connection: socket.socket) -> None:
    """Exit once the client was killed."""
    connection.recv(1)
    os._exit(1)


def _run(arguments: list[str]) -> int:
    """The used part of Python's command line: `-u -m MODULE …` and `-u SCRIPT …`."""
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            sys.path[0] = str(Path.cwd())
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path[0] = str(Path(sys.argv[0]).parent)
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
