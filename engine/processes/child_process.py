"""The engine's child processes: each leads a process group and dies with the engine.

Ctrl-C in a terminal reaches only the engine, which decides when to stop its children.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.processes.loopback import with_direct_loopback

_SCRIPT = Path(__file__).with_name("child.py")
_TERMINATION_SECONDS = 5.0
# The engine reads UTF-8, whatever the locale says.
_PRINTS_UTF_8 = {"PYTHONIOENCODING": "utf-8:backslashreplace"}

# For the signal handler that kills everything.
_running_pids: set[int] = set()


class ChildProcess:
    """A program or a dynamic provider, started through child.py."""

    def __init__(
        self,
        python: str,
        role: str,
        arguments: list[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        awaits_line: bool = False,
    ) -> None:
        """awaits_line: the process reads a line that `send` writes; otherwise it has no input."""
        child_end, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [python, "-u", str(_SCRIPT), role, str(child_end), *arguments],
                cwd=folder,
                env={**with_direct_loopback(environment), **_PRINTS_UTF_8},
                stdin=subprocess.PIPE if awaits_line else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[child_end],
                process_group=0,
                encoding="utf-8",
                errors="replace",
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(child_end)
        self.pid = self._process.pid
        _running_pids.add(self.pid)
        self._pump: threading.Thread | None = None

    def send(self, line: str) -> None:
        """Write a line to the process, if it still runs, and close its input."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin:
            self._process.stdin.write(f"{line}\n")

    def read_line(self) -> str:
        """The next line of output; empty at the end. Only before `show_output`."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def show_output(self, show: Callable[[str], None]) -> None:
        """Pass every further line of output to `show`, as it comes."""
        output = self._process.stdout
        assert output is not None

        def pump() -> None:
            for line in output:
                show(line.rstrip("\n"))

        self._pump = threading.Thread(target=pump, daemon=True)
        self._pump.start()

    def wait(self) -> int:
        """Wait until the process has exited and its output is shown; its exit status."""
        status = self._process.wait()
        _running_pids.discard(self.pid)
        if self._pump is not None:
            # A grandchild may keep the pipe open.
            self._pump.join(timeout=_TERMINATION_SECONDS)
        return status

    @property
    def exit_status(self) -> int | None:
        return self._process.poll()

    def end(self) -> None:
        """Stop the process group; processes in their own session keep running."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal_number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_TERMINATION_SECONDS)
                break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        os.close(self._lifeline)


def kill_all() -> None:
    """SIGKILL every child's process group; safe in a signal handler."""
    for pid in list(_running_pids):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
