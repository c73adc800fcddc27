"""The live table: what it shows, when it is used, and that it restores the terminal."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from engine.command_line.arguments import parse
from engine.command_line.cli import display_form
from engine.deployment.steps import Op, Step
from engine.display import terminal
from engine.display.lines import Display
from engine.display.live import LiveDisplay
from engine.state.snapshot import Resource
from tests.engine.pulumi_project import REPOSITORY, PulumiProject, wait_for

STACK = "urn:pulumi:dev::things::pulumi:pulumi:Stack::things-dev"
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


def thing(name: str, **inputs: int) -> Resource:
    kind = "pulumi-python:dynamic/things:Thing"
    return Resource(f"urn:pulumi:dev::things::{kind}::{name}", True, kind, inputs={**inputs})


class Screen:
    """A LiveDisplay, its current table, and everything it has written."""

    def __init__(self, height: int = 24) -> None:
        self.stream = io.StringIO()
        self.display = LiveDisplay(
            STACK, dry_run=False, stream=self.stream, color=False, width=80, height=height
        )

    @property
    def rows(self) -> list[str]:
        console = Console(width=80, file=io.StringIO(), force_terminal=False)
        with console.capture() as capture:
            console.print(self.display.render())
        return [line.rstrip() for line in capture.get().splitlines()]

    def close(self) -> str:
        """The final output, below the last table drawn during the operation."""
        self.display.close()
        return self.stream.getvalue()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    screen.display.header("Updating", "dev", {})
    yield screen
    screen.close()


def test_a_running_step_shows_its_seconds_and_its_last_line_of_output(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("engine.display.live.time", clock)
    screen.display.started(Step(Op.UPDATE, thing("a", size=2), thing("a", size=1)))
    heading, row, _ = screen.rows
    assert heading.split() == ["Type", "Name", "Status", "Info"]
    assert row.split() == ["~", "things:Thing", "a", "updating", "(0s)", "[diff:", "~size]"]
    screen.display.output("step 1 of 2")
    screen.display.output("\x1b[32mstep 2 of 2\x1b[0m [ok]")
    clock.now = 103.5
    assert "updating (3s)" in screen.rows[1] and screen.rows[1].endswith("step 2 of 2 [ok]")


def test_the_final_table_stays_and_all_output_is_repeated(screen: Screen) -> None:
    display = screen.display
    display.started(Step(Op.CREATE, thing("a")))
    display.output("first")
    display.output("second")
    display.done(Step(Op.CREATE, thing("a")))
    display.output("from the program")
    display.log("warning", "careful", STACK)
    display.diagnostics()
    display.summary(1)
    written = screen.stream.getvalue()
    table, _, below = written.rpartition(SHOW_CURSOR)
    assert "things:Thing  a" in table and "created (0.00s)" in table
    assert written.count(HIDE_CURSOR) == written.count(SHOW_CURSOR) == 1
    assert below == (
        "Diagnostics:\n"
        "  pulumi-python:dynamic/things:Thing (a):\n    first\n    second\n\n"
        "  pulumi:pulumi:Stack (things-dev):\n    from the program\n    warning: careful\n\n"
        "Resources:\n    + 1 created\n\nDuration: 1s\n\n"
    )


def test_the_output_of_a_failed_step_is_repeated_once(screen: Screen) -> None:
    screen.display.started(Step(Op.CREATE, thing("a")))
    screen.display.output("on the way")
    screen.display.failed(Op.CREATE, thing("a"), "Traceback:\nRuntimeError: oh no")
    assert "creating failed (0.00s)" in screen.rows[1]
    assert screen.rows[1].endswith("error: RuntimeError: oh no")
    screen.display.diagnostics()
    below = screen.stream.getvalue().rpartition(SHOW_CURSOR)[2]
    assert below.count("on the way") == 1 and "    error: Traceback:" in below


def test_a_replacement_is_one_row_that_ends_as_replaced(screen: Screen) -> None:
    old, new = thing("a", size=1), thing("a", size=2)
    display = screen.display
    display.started(Step(Op.CREATE_REPLACEMENT, new, old))
    assert "++" in screen.rows[1] and "creating replacement (0s)" in screen.rows[1]
    display.done(Step(Op.CREATE_REPLACEMENT, new, old))
    display.done(Step(Op.REPLACE, new, old))
    display.started(Step(Op.DELETE_REPLACED, old))
    assert "deleting original (0s)" in screen.rows[1]
    display.done(Step(Op.DELETE_REPLACED, old))
    assert screen.rows[1].split() == ["+-", "things:Thing", "a", "replaced", "[diff:", "~size]"]


def test_a_table_too_long_for_the_screen_shows_its_last_rows_and_is_complete_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(height=10)
    screen.display.header("Updating", "dev", {})
    for number in range(30):
        screen.display.started(Step(Op.CREATE, thing(f"thing-{number}")))
        screen.display.done(Step(Op.CREATE, thing(f"thing-{number}")))
    assert len(screen.rows) < 10
    assert not any("thing-3 " in row for row in screen.rows)
    assert any("thing-29 " in row for row in screen.rows)
    last = screen.close().rpartition("Info")[2]
    assert "thing-0 " in last and "thing-29 " in last


def test_lines_are_printed_above_the_live_table(screen: Screen) -> None:
    screen.display.started(Step(Op.CREATE, thing("a")))
    screen.display.line("[a line]")
    assert "[a line]\n" in screen.stream.getvalue()
    assert "creating" in screen.close().rpartition("[a line]")[2]


def test_a_notice_is_shown_below_the_table(screen: Screen) -> None:
    assert screen.display.notice("interrupted: wait")
    assert screen.rows[-1] == "interrupted: wait"
    screen.close()
    assert not screen.display.notice("said otherwise")


def test_an_immediate_exit_restores_the_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "screen").open("w") as stream:
        display = LiveDisplay(STACK, dry_run=False, stream=stream)
        display.header("Updating", "dev", {})
        stream.flush()
        display.restore_terminal()
        assert (tmp_path / "screen").read_text().endswith(SHOW_CURSOR + "\n")
        display.close()


def test_the_live_display_does_not_redirect_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", stream)
    preview = LiveDisplay(STACK, dry_run=True)
    preview.header("Previewing update", "dev", {})
    update = LiveDisplay(STACK, dry_run=False)
    preview.close()
    before = stream.tell()
    update.line("Updating (dev):")
    assert stream.getvalue()[before:] == "Updating (dev):\n"


# -- when it is used ---------------------------------------------------------------------------


class Tty(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "live"),
    [
        ({}, True),
        ({"CI": "false"}, True),
        ({"CI": "true"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, False),
    ],
)
def test_a_terminal_is_live_unless_it_is_dumb_or_in_ci(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], live: bool
) -> None:
    for key, value in {"TERM": "xterm", "CI": "", **variables}.items():
        monkeypatch.setenv(key, value)
    assert terminal.is_live(Tty()) is live
    assert not terminal.is_live(io.StringIO())


@pytest.mark.parametrize(
    ("flags", "live"),
    [
        ([], True),
        (["--color", "never"], True),
        (["--non-interactive"], False),
        (["--diff"], False),
    ],
)
def test_flags_choose_the_display(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], live: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(sys, "stdout", Tty())
    display = display_form(parse(["up", "--yes", *flags]))(STACK, dry_run=False)
    assert isinstance(display, LiveDisplay) is live
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    display = display_form(parse(["up", "--yes", "--color", "always"]))(STACK, dry_run=False)
    assert type(display) is Display


def test_rich_is_not_imported_unless_it_is_used() -> None:
    script = (
        "import sys\n"
        "from engine.command_line import arguments, cli\n"
        "from engine.deployment import operations\n"
        "from engine.display import diff, digest\n"
        "cli.display_form(arguments.parse(['up', '--yes']))\n"
        "sys.exit('rich' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


# -- a whole command on a terminal ---------------------------------------------------------------


class Terminal:
    """A command on a pseudo-terminal, and all its output."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.settings = termios.tcgetattr(self.slave)
        self.written = ""
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("CI", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine", *arguments, "-C", str(folder)],
            cwd=REPOSITORY,
            env=environment,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # Ends when the terminal's last writer closes it.
        while True:
            try:
                data = os.read(self._master, 4096)
            except OSError:
                return
            self.written += data.decode(errors="replace").replace("\r\n", "\n")

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.slave)
        self._reader.join(timeout=10)
        os.close(self._master)

    def wait_for(self, text: str) -> None:
        wait_for(lambda: text in self.written or self.process.poll() is not None)
        assert text in self.written, self.written


@contextmanager
def on_a_terminal(project: PulumiProject, *arguments: str) -> Iterator[Terminal]:
    command = Terminal(project.folder, *arguments)
    try:
        yield command
    finally:
        command.end()


@pytest.mark.slow
def test_an_update_on_a_terminal_is_live_and_restores_the_terminal(
    exact_project: PulumiProject,
) -> None:
    project = exact_project
    project.program('Thing("a", waits=True)\npulumi.export("one", 1)')
    with on_a_terminal(project, "up", "--yes") as command:
        command.wait_for("waiting for go")
        command.wait_for("creating (1s)")
        project.go()
        assert command.process.wait(timeout=60) == 0
        command.wait_for("Duration:")
        assert termios.tcgetattr(command.slave) == command.settings
    written = command.written
    assert written.count(HIDE_CURSOR) == written.count(SHOW_CURSOR) == 2  # preview, update
    _, table, below = written.split(SHOW_CURSOR)
    assert "created (" in table.rpartition("Status")[2]
    places = [
        below.index(text)
        for text in ("Diagnostics:", "waiting for go", "Outputs:", "Resources:", "Duration:")
    ]
    assert places == sorted(places)


@pytest.mark.slow
def test_interrupts_on_a_terminal_are_acknowledged_and_the_cursor_is_restored(
    exact_project: PulumiProject,
) -> None:
    project = exact_project
    project.program('Thing("a", waits=True)')
    with on_a_terminal(project, "up", "--yes", "--skip-preview") as command:
        command.wait_for("waiting for go")
        command.process.send_signal(signal.SIGINT)
        command.wait_for("interrupted: finishing the current step (creating a)")

        def interrupt_until_exited() -> bool:
            command.process.send_signal(signal.SIGINT)
            return command.process.poll() is not None

        wait_for(interrupt_until_exited)
        assert command.process.returncode == 8
        command.wait_for("error: exited while creating a")
        assert termios.tcgetattr(command.slave) == command.settings
    assert command.written.rindex(SHOW_CURSOR) > command.written.rindex(HIDE_CURSOR)


@pytest.mark.slow
def test_a_closed_terminal_does_not_stop_the_operation(
    exact_project: PulumiProject,
) -> None:
    project = exact_project
    project.program('Thing("a", waits=True)\nThing("b")')
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "up", "--yes", "-C", str(project.folder)],
        cwd=REPOSITORY,
        env={**os.environ, "TERM": "xterm", "CI": ""},
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    try:
        os.close(slave)
        written = b""
        while b"waiting for go" not in written:
            written += os.read(master, 4096)
        assert HIDE_CURSOR.encode() in written
        os.close(master)
        project.go()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
    assert set(project.cloud) == {"a", "b"}
    assert set(project.resources()) == {"things-dev", "default", "a", "b"}
