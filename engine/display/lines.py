"""The display of an operation: the official CLI's non-interactive output, a line per step.

Output of the program and of providers appears as it comes, beside the step in progress; messages
they log through Pulumi are repeated under `Diagnostics:`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import TextIO

from engine import urn as urns
from engine.deployment.steps import COUNTED, Op, Step
from engine.display.property_diff import PropertyWriter, diff_info
from engine.display.secret_filter import SHOW_ALL
from engine.state.snapshot import Resource
from engine.values import PropertyMap

_INDENT = "    "
# Lines of a failed step's output that are repeated with its error.
_REPEATED_OUTPUT_LINES = 20


class Display:
    """The output of one operation on one stack; subclasses are other formats."""

    def __init__(self, root_urn: str, *, dry_run: bool, stream: TextIO | None = None) -> None:
        self.dry_run = dry_run
        self.counts: Counter[Op] = Counter()
        self.steps: list[Step] = []  # in a dry run only
        self.errors = 0
        self.hidden = SHOW_ALL  # what is not shown of all texts
        self._root_urn = root_urn
        self._stream = stream or sys.stdout
        self._buffered: list[str] | None = None
        self._lock = threading.RLock()
        self._diagnostics: dict[str, list[str]] = {}
        self._in_flight: tuple[Step, float] | None = None
        self._output_of_step: list[str] = []

    # -- the terminal -----------------------------------------------------------------------

    def close(self) -> None:
        """Restore the terminal; later output is plain lines."""

    def notice(self, text: str) -> bool:
        """Show a line below the live table; False without one.

        Called by signal handlers, like `restore_terminal`, so it takes no lock.
        """
        return False

    def restore_terminal(self) -> None:
        """Undo changes to the terminal when the process exits without `close`."""

    # -- lines ------------------------------------------------------------------------------

    def buffer_lines(self) -> None:
        """Buffer all lines until `flush_lines`, since the dry run may have to start over."""
        self._buffered = []

    def flush_lines(self) -> None:
        """Print the buffered lines, and stop buffering."""
        with self._lock:
            if self._buffered is None:
                return
            lines, self._buffered = self._buffered, None
            for line in ["", *lines]:
                self.line(line)

    def start_over(self) -> None:
        """Discard the buffered lines and all counts, and stop buffering."""
        with self._lock:
            self._buffered = None
            self.line()
            self.counts.clear()
            self.steps.clear()
            self.errors = 0
            self._diagnostics.clear()

    def line(self, text: str = "") -> None:
        text = self.hidden.text(text)
        with self._lock:
            if self._buffered is not None:
                self._buffered.append(text)
            else:
                # A closed pipe must not abort a running deployment.
                with contextlib.suppress(OSError):
                    print(text, file=self._stream, flush=True)

    def _row(self, symbol: str, urn: str, status: str, info: str = "") -> None:
        columns = [urns.type_of(urn), urns.name_of(urn), status, info]
        self.line(f" {symbol:<2} " + " ".join(column for column in columns if column))

    # -- steps ------------------------------------------------------------------------------

    def same(self, step: Step) -> None:
        """Count an unchanged resource; it gets no row."""
        if not step.resource.is_provider:
            self.counts[Op.SAME] += 1
            self._record(step)
            self._show_same(step)

    def planned(self, step: Step) -> None:
        """Show a step of a preview."""
        if not step.resource.is_provider:
            self.counts[step.op] += 1
            self._record(step)
            self._show_planned(step)

    def started(self, step: Step) -> None:
        with self._lock:
            self._in_flight = (step, time.monotonic())
            self._output_of_step = []
        if not step.resource.is_provider:
            self._show_started(step)

    def done(self, step: Step) -> None:
        """Show a finished step; one without a provider call was never `started`."""
        seconds = self._end_step()
        if not step.resource.is_provider:
            self.counts[step.op] += 1
            self._show_done(step, seconds)

    def failed(self, op: Op, resource: Resource, message: str) -> None:
        """Show a failed step; `message` may be a provider's traceback."""
        message = self.hidden.text(message)
        with self._lock:
            seconds = self._end_step()
            self.errors += 1
            first_line, _, rest = message.strip().partition("\n")
            last_line = rest.rpartition("\n")[2].strip() or first_line
            doing = op.doing if seconds is not None or not self.dry_run else op.planned
            status = doing
            if seconds is not None:
                status = f"**{doing or 'failed'} failed ({seconds:.2f}s)**"
            self._show_failed(op, resource, status, f"error: {last_line}")
            self._diagnose(resource.urn, *self._output_to_repeat(), f"error: {message.strip()}")

    def refreshed(self, step: Step) -> None:
        """Show the result of a read: an update, a deletion, or no change."""
        if step.op is Op.SAME:
            self.same(step)
        elif self.dry_run:
            self.planned(step)
        else:
            self.counts[step.op] += 1
            self._show_refreshed(step)

    def in_flight(self) -> str:
        """The step in progress, such as "creating server"; empty if there is none.

        Called by signal handlers, so it takes no lock.
        """
        in_flight = self._in_flight
        return f"{in_flight[0].op.doing} {in_flight[0].resource.name}" if in_flight else ""

    def _end_step(self) -> float | None:
        """The duration of the step in progress; None if there is none."""
        with self._lock:
            in_flight, self._in_flight = self._in_flight, None
            return time.monotonic() - in_flight[1] if in_flight else None

    def reset_counts(self) -> None:
        """Reset the counts after a refresh, before the operation itself."""
        self.counts.clear()
        self.steps.clear()

    def _record(self, step: Step) -> None:
        if self.dry_run:
            self.steps.append(step)

    # -- rows -------------------------------------------------------------------------------

    def _show_same(self, step: Step) -> None:
        pass

    def _show_planned(self, step: Step) -> None:
        self._row(step.op.symbol, step.resource.urn, step.op.planned, info_of(step))

    def _show_started(self, step: Step) -> None:
        self._row(step.op.symbol, step.resource.urn, f"{step.op.doing} (0s)", info_of(step))

    def _show_done(self, step: Step, seconds: float | None) -> None:
        status = f"{step.op.done} ({seconds or 0:.2f}s)"
        self._row(step.op.symbol, step.resource.urn, status, info_of(step))

    def _show_refreshed(self, step: Step) -> None:
        self._row(step.op.symbol, step.resource.urn, step.op.done, info_of(step))

    def _show_failed(self, op: Op, resource: Resource, status: str, error: str) -> None:
        self._row(op.symbol, resource.urn, status, error)

    def _show_message(self, urn: str, text: str) -> None:
        self._row("", urn, text)

    def _show_step_output(self, step: Step, seconds: int, text: str) -> None:
        self._row(step.op.symbol, step.resource.urn, f"{step.op.doing} ({seconds}s)", text)

    # -- messages ---------------------------------------------------------------------------

    def output(self, text: str) -> None:
        """A line that the program or a provider printed."""
        if not text.strip():
            return
        text = self.hidden.text(text)
        with self._lock:
            if self._in_flight is None:
                self._show_message(self._root_urn, text)
            else:
                step, started = self._in_flight
                self._output_of_step.append(text)
                self._show_step_output(step, int(time.monotonic() - started), text)

    def log(self, severity: str, text: str, urn: str = "") -> None:
        """A message logged through Pulumi: `info`, `warning` or `error`."""
        prefix = "" if severity == "info" else f"{severity}: "
        text = self.hidden.text(text)
        with self._lock:
            self.errors += severity == "error"
            first_line = text.strip().partition("\n")[0]
            self._show_message(urn or self._root_urn, prefix + first_line)
            self._diagnose(urn or self._root_urn, f"{prefix}{text.rstrip()}")

    def _output_to_repeat(self) -> list[str]:
        """The last lines that the step printed, to repeat with its error."""
        return self._output_of_step[-_REPEATED_OUTPUT_LINES:]

    def _diagnose(self, urn: str, *messages: str) -> None:
        self._diagnostics.setdefault(urn, []).extend(messages)

    # -- header and summary -----------------------------------------------------------------

    def header(self, label: str, stack: str, config: Mapping[str, str]) -> None:
        """config: the stack's config, with `[secret]` for each secret."""
        self.line(f"{label} ({stack}):")

    def diagnostics(self) -> None:
        if not self._diagnostics:
            return
        self.line("Diagnostics:")
        for urn, messages in self._diagnostics.items():
            self.line(f"  {urns.type_of(urn)} ({urns.name_of(urn)}):")
            for message in messages:
                for text in message.splitlines():
                    self.line(f"{_INDENT}{text}")
            self.line()

    def outputs(self, old: PropertyMap | None, new: PropertyMap) -> None:
        """Show the stack's outputs and their changes; in a preview, only the changes."""
        rows = self._output_rows(old, new)
        if rows:
            self.line("Outputs:")
            for row in rows:
                self.line(row)
            self.line()

    def _output_rows(self, old: PropertyMap | None, new: PropertyMap) -> list[str]:
        only_changes = self.dry_run and old is not None
        before = new if old is None else old
        writer = PropertyWriter(cut=None, hidden=self.hidden)
        return list(writer.changes(before, new, level=1, only=only_changes))

    def summary(self, seconds: float | None = None) -> None:
        """Show the counts and, except in a preview, the duration."""
        self.line("Resources:")
        changes = 0
        kinds = 0
        for op in COUNTED:
            count = self.counts[op]
            if count:
                word = f"to {op.planned}" if self.dry_run else op.done
                self.line(f"{_INDENT}{op.symbol:<2}{count} {word}")
                changes, kinds = changes + count, kinds + 1
        unchanged = self.counts[Op.SAME]
        parts = [f"{changes} changes"] if kinds > 1 else []
        parts += [f"{unchanged} unchanged"] if unchanged else []
        if parts:
            self.line(_INDENT + ". ".join(parts))
        if self.errors:
            self.line(f"{_INDENT}{self.errors} errored")
        self.line()
        if seconds is not None:
            self.line(f"Duration: {max(1, round(seconds))}s")
            self.line()

    @property
    def changes(self) -> int:
        """How many resources change."""
        return sum(self.counts[op] for op in COUNTED)


def info_of(step: Step) -> str:
    return diff_info(*step.comparison()) if step.old is not None else ""
