"""Runs the Pulumi program: its process and its resource monitor."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Callable
from typing import Protocol

from engine.errors import EngineError, UnsupportedError
from engine.processes.child_process import ChildProcess
from engine.processes.interrupts import Interrupts
from engine.processes.monitor import Monitor, Registrar
from engine.project.project_file import Project
from engine.project.stack_config import StackConfig

_PARALLELISM = 16  # concurrent registrations of the SDK
# A program still running this long after its monitor has stopped is killed.
_PROGRAM_EXIT_SECONDS = 10.0
_EXIT_AFTER_SHOWN_ERROR = 32


class Messages(Protocol):
    """Receives the program's output and log messages."""

    def output(self, text: str) -> None: ...

    def log(self, severity: str, text: str, urn: str = "") -> None: ...


class ProgramRunner:
    """Runs a project's program with a stack's config."""

    def __init__(
        self, project: Project, stack: str, config: StackConfig, interrupts: Interrupts
    ) -> None:
        self._project = project
        self._stack = stack
        self._config = config
        self._interrupts = interrupts
        self._prepared: ChildProcess | None = None

    def prepare(self) -> None:
        """Start the process of the next run: it imports Pulumi's SDK, and waits."""
        self._prepared = self._start()

    def close(self) -> None:
        """End a prepared process that was not needed."""
        if self._prepared is not None:
            self._prepared.end()

    def run(self, registrar: Registrar, messages: Messages, *, dry_run: bool) -> bool:
        """Run the program to its end; whether it succeeded.

        Raises UnsupportedError if it uses an unsupported feature.
        """
        events: queue.SimpleQueue[str] = queue.SimpleQueue()
        monitor = Monitor(
            registrar,
            self._project.root,
            messages.log,
            on_stopped=lambda: events.put("stopped"),
        )
        address = monitor.start()
        try:
            child, self._prepared = self._prepared or self._start(), None
            child.show_output(messages.output)
            child.send(json.dumps(self._settings(address, dry_run=dry_run)))
            status = self._wait(child, monitor, events)
        finally:
            monitor.close()
        if monitor.unsupported:
            raise UnsupportedError(monitor.unsupported)
        if monitor.error is not None:
            raise monitor.error
        if monitor.internal_error:
            raise EngineError(f"internal error in the engine:\n{monitor.internal_error}")
        if status not in (0, None, _EXIT_AFTER_SHOWN_ERROR) and not monitor.error_shown:
            messages.log("error", f"the program exited with non-zero exit code: {status}")
        return status == 0 and not self._interrupts.requested

    def _settings(self, address: str, *, dry_run: bool) -> dict[str, object]:
        return {
            "project": self._project.name,
            "stack": self._stack,
            "monitor": address,
            "engine": address,
            "parallel": _PARALLELISM,
            "dry_run": dry_run,
            "organization": "organization",
            "root_directory": str(self._project.root),
        }

    def _start(self) -> ChildProcess:
        environment = {
            **os.environ,
            "PULUMI_CONFIG": json.dumps(dict(self._config.values)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(sorted(self._config.secret_keys)),
        }
        return ChildProcess(
            self._project.python,
            "program",
            [self._project.program],
            self._project.program_folder,
            environment,
            awaits_line=True,
        )

    def _wait(
        self, child: ChildProcess, monitor: Monitor, events: queue.SimpleQueue[str]
    ) -> int | None:
        """The exit status; None for a program that was stopped with the deployment."""
        _call_on_exit(child, lambda: events.put("ended"))
        with self._interrupts.notify(events):
            event = events.get()
        if event == "stopped" and not monitor.unsupported:
            # The next call fails; then the program registers the outputs it has, and exits.
            event = _next_event(events, _PROGRAM_EXIT_SECONDS)
        # A program can exit before a registration has returned.
        monitor.stop()
        if event == "ended":
            status = child.wait()
            child.end()
            return status
        child.end()
        return None


def _call_on_exit(child: ChildProcess, action: Callable[[], None]) -> None:
    def wait() -> None:
        child.wait()
        action()

    threading.Thread(target=wait, daemon=True).start()


def _next_event(events: queue.SimpleQueue[str], seconds: float) -> str:
    try:
        return events.get(timeout=seconds)
    except queue.Empty:
        return "too late"
