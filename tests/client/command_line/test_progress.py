"""The progress display: nothing for a short run, then the time so far, then an estimate."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from client.command_line.progress import Progress
from client.stacks.discovery import PROJECT_ROOT
from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing


class Lines(io.StringIO):
    """A stream that says when something has been written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        size = super().write(text)
        if text.endswith("\n"):
            self.written.set()
        return size


def test_a_short_run_shows_nothing() -> None:
    stream = Lines()
    progress = Progress(2, stream)
    for _ in range(2):
        with progress.picture():
            pass
    assert stream.getvalue() == ""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The display comes at once, and its plain lines quickly."""
    monkeypatch.setattr("client.command_line.progress.QUIET_SECONDS", 0)
    monkeypatch.setattr("client.command_line.progress.PLAIN_LINE_SECONDS", 0.01)


@pytest.mark.usefixtures("impatient")
def test_where_there_is_no_terminal_plain_lines_come() -> None:
    stream = Lines()
    progress = Progress(3, stream)
    with progress.picture():
        assert stream.written.wait(10)
    assert stream.getvalue().splitlines()[0] == "picture 1 of 3, 0 s"
    stream.written.clear()
    with progress.picture():
        assert stream.written.wait(10)
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("picture 2 of 3, 0 s, about ")
    assert last.endswith(" s left")
    assert "\x1b" not in stream.getvalue()


def test_the_estimate_is_the_mean_of_the_finished_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("client.command_line.progress.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("client.command_line.progress.QUIET_SECONDS", 1000)
    progress = Progress(4, Lines())
    for seconds in (10, 20):
        with progress.picture():
            clock[0] += seconds
    with progress.picture():
        clock[0] += 5
        assert progress.line() == "picture 3 of 4, 5 s, about 25 s left"
        clock[0] += 20
        assert progress.line() == "picture 3 of 4, 25 s, about 15 s left"


@pytest.mark.usefixtures("impatient")
def test_a_failure_ends_the_display() -> None:
    before = set(threading.enumerate())
    stream = Lines()
    with (
        pytest.raises(KeyboardInterrupt),
        Progress(1, stream).picture(),
    ):
        assert stream.written.wait(10)
        raise KeyboardInterrupt
    assert set(threading.enumerate()) <= before


def test_a_command_that_waits_tells_so_without_control_codes(
    run: CommandLine, server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.command_line.progress.QUIET_SECONDS", 0)
    server.hold = threading.Event()
    threading.Timer(0.3, server.hold.set).start()
    ran = run("generate", "x", "--seed", "1", "--endpoint", server.endpoint)
    assert ran.code == 0
    assert ran.err == "picture 1 of 1, 0 s\n"
    assert ran.out.startswith("out/x-1.png")


def test_in_a_terminal_a_spinner_turns_and_leaves_no_trace(
    server: FakeServing, tmp_path: Path
) -> None:
    """The real thing: a process whose standard error is a terminal, and a picture of over 2 s."""
    server.hold = threading.Event()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "client", "generate", "x", "--seed", "1"),
            *("--endpoint", server.endpoint, "--out", str(tmp_path)),
        ],
        cwd=PROJECT_ROOT,
        env=os.environ | {"TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while b"picture 1 of 1" not in shown:
            shown += os.read(ours, 1000)
        server.hold.set()
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    try:
        while more := os.read(ours, 1000):
            shown += more
    except OSError:
        pass  # the terminal has hung up
    os.close(ours)
    assert process.returncode == 0
    assert out.startswith(f"{tmp_path}/x-1.png  seed 1")
    assert "\x1b" not in out
    # What was shown last is taken back: the line is erased, and the cursor shown again.
    assert b"\x1b[2K" in shown[-40:]
    assert b"\x1b[?25h" in shown[-40:]
