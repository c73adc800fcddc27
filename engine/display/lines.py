"""What an operation shows: the official CLI's non-interactive form, a line per step.

Output of the program and of providers is shown as it comes, beside the step in flight; what they
log through Pulumi is repeated under `Diagnostics:`.
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
from engine.state.snapshot import Resource
from engine.values import PropertyMap

_INDENT = "    "
# How much of a failed step's output is repeated with its error.
_REPEATED_OUTPUT_LINES = 20


class Display:
    """The output of one operation on one stack; the forms of it are subclasses."""

    def __init__(self, root_urn: str, *, dry_run: bool, stream: TextIO | None = None) -> None:
        self.dry_run = dry_run
        self.counts: Counter[Op] = Counter()
        self.steps: list[Step] = []  # of a dry run
        self.errors = 0
        self._root_urn = root_urn
        self._stream = stream or sys.stdout
        self._held_back: list[str] | None = None
        self._lock = threading.RLock()
        self._diagnostics: dict[str, list[str]] = {}
        self._in_flight: tuple[Step, float] | None = None
        self._output_of_step: list[str] = []

    # -- the terminal -----------------------------------------------------------------------

    def close(self) -> None:
        """Leave the terminal as it was found; what comes later are plain lines."""

    def notice(self, text: str) -> bool:
        """Show a line beside what is shown in place; False where nothing is.

        A signal handler calls this and the next one, so they wait for nobody.
        """
        return False

    def leave_at_once(self) -> None:
        """The process ends without `close`."""

    # -- lines ------------------------------------------------------------------------------

    def hold_back(self) -> None:
        """Keep all lines until `release`: what is being worked out may have to be redone."""
        self._held_back = []

    def release(self) -> None:
        """Show what was held back, and from here on everything at once."""
        with self._lock:
            if self._held_back is None:
                return
            lines, self._held_back = self._held_back, None
            for line in ["", *lines]:
                self.line(line)

    def begin_again(self) -> None:
        """Forget what was held back and counted, and show everything from here on at once."""
        with self._lock:
            self._held_back = None
            self.line()
            self.counts.clear()
            self.steps.clear()
            self.errors = 0
            self._diagnostics.clear()

    def line(self, text: str = "") -> None:
        with self._lock:
            if self._held_back is not None:
                self._held_back.append(text)
            else:
                # A reader that has gone away must not stop a deployment in the middle.
                with contextlib.suppress(OSError):
                    print(text, file=self._stream, flush=True)

    def _row(self, symbol: str, urn: str, status: str, info: str = "") -> None:
        columns = [urns.type_of(urn), urns.name_of(urn), status, info]
        self.line(f" {symbol:<2} " + " ".join(column for column in columns if column))

    # -- steps ------------------------------------------------------------------------------

    def same(self, step: Step) -> None:
        """An unchanged resource is counted; a row is not shown."""
        if not step.resource.is_provider:
            self.counts[Op.SAME] += 1
            self._record(step)
            self._show_same(step)

    def planned(self, step: Step) -> None:
        """A step of a preview."""
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
        """A step at its end; one that calls no provider was not started."""
        seconds = self._end_step()
        if not step.resource.is_provider:
            self.counts[step.op] += 1
            self._show_done(step, seconds)

    def failed(self, op: Op, resource: Resource, message: str) -> None:
        """A step that did not come to its end; `message` may be a provider's traceback."""
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
        """What a read found: an update, a deletion, or nothing."""
        if step.op is Op.SAME:
            self.same(step)
        elif self.dry_run:
            self.planned(step)
        else:
            self.counts[step.op] += 1
            self._show_refreshed(step)

    def in_flight(self) -> str:
        """The step in flight, in words; empty if there is none. Called by a signal handler too,
        so it waits for nobody.
        """
        in_flight = self._in_flight
        return f"{in_flight[0].op.doing} {in_flight[0].resource.name}" if in_flight else ""

    def _end_step(self) -> float | None:
        """How many seconds the step in flight took; None if there is none."""
        with self._lock:
            in_flight, self._in_flight = self._in_flight, None
            return time.monotonic() - in_flight[1] if in_flight else None

    def count_anew(self) -> None:
        """Forget the steps so far: they were a refresh before the operation itself."""
        self.counts.clear()
        self.steps.clear()

    def _record(self, step: Step) -> None:
        if self.dry_run:
            self.steps.append(step)

    # -- how steps look -----------------------------------------------------------------------

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
        with self._lock:
            self.errors += severity == "error"
            first_line = text.strip().partition("\n")[0]
            self._show_message(urn or self._root_urn, prefix + first_line)
            self._diagnose(urn or self._root_urn, f"{prefix}{text.rstrip()}")

    def _output_to_repeat(self) -> list[str]:
        """What the step has printed, to stand with its error."""
        return self._output_of_step[-_REPEATED_OUTPUT_LINES:]

    def _diagnose(self, urn: str, *messages: str) -> None:
        self._diagnostics.setdefault(urn, []).extend(messages)

    # -- the end ----------------------------------------------------------------------------

    def header(self, label: str, stack: str, config: Mapping[str, str]) -> None:
        """config: the stack's, with `[secret]` for each secret."""
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
        """The stack's outputs, and how they change from the old ones, if there are any.

        A preview shows only the changes.
        """
        rows = self._output_rows(old, new)
        if rows:
            self.line("Outputs:")
            for row in rows:
                self.line(row)
            self.line()

    def _output_rows(self, old: PropertyMap | None, new: PropertyMap) -> list[str]:
        only_changes = self.dry_run and old is not None
        before = new if old is None else old
        return list(PropertyWriter(cut=None).changes(before, new, level=1, only=only_changes))

    def summary(self, seconds: float | None = None) -> None:
        """The counts, and for anything but a preview the duration."""
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
    def is_unchanged(self) -> bool:
        """Whether every step left its resource as it was, and nothing went wrong."""
        return self.errors == 0 and not any(
            count for op, count in self.counts.items() if op is not Op.SAME
        )

    @property
    def changes(self) -> int:
        """How many resources are changed in any way."""
        return sum(self.counts[op] for op in COUNTED)


def info_of(step: Step) -> str:
    return diff_info(*step.comparison()) if step.old is not None else ""
