"""What an operation shows: the official CLI's non-interactive form, a line per step.

Output of the program and of providers is shown as it comes, beside the step in flight; what they
log through Pulumi is repeated under `Diagnostics:`.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TextIO

from engine import urn as urns
from engine.snapshot import Resource
from engine.steps import COUNTED, Op
from engine.values import PROVIDER_KEY, UNKNOWN, PropertyMap, PropertyValue, Secret, plain_map

_INDENT = "    "
# How much of a failed step's output is repeated with its error.
_REPEATED_OUTPUT_LINES = 20


class Display:
    """The output of one operation on one stack."""

    def __init__(self, root_urn: str, *, dry_run: bool, stream: TextIO | None = None) -> None:
        self.dry_run = dry_run
        self.counts: Counter[Op] = Counter()
        self.errors = 0
        self._root_urn = root_urn
        self._stream = stream or sys.stdout
        self._held_back: list[str] | None = None
        self._lock = threading.RLock()
        self._diagnostics: dict[str, list[str]] = {}
        self._in_flight: tuple[Op, Resource, float] | None = None
        self._output_of_step: list[str] = []

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

    def same(self, resource: Resource) -> None:
        """An unchanged resource is counted, not shown."""
        if not resource.is_provider:
            self.counts[Op.SAME] += 1

    def planned(self, op: Op, resource: Resource, info: str = "") -> None:
        """A step of a preview."""
        self._count(op, resource)
        if not resource.is_provider:
            self._row(op.symbol, resource.urn, op.planned, info)

    def started(self, op: Op, resource: Resource, info: str = "") -> None:
        with self._lock:
            self._in_flight = (op, resource, time.monotonic())
            self._output_of_step = []
        if not resource.is_provider:
            self._row(op.symbol, resource.urn, f"{op.doing} (0s)", info)

    def done(self, op: Op, resource: Resource, info: str = "") -> None:
        self._count(op, resource)
        seconds = self._end_step()
        if not resource.is_provider:
            self._row(op.symbol, resource.urn, f"{op.done} ({seconds:.2f}s)", info)

    def failed(self, op: Op, resource: Resource, message: str) -> None:
        """A step that did not come to its end; `message` may be a provider's traceback."""
        with self._lock:
            in_flight = self._in_flight is not None
            seconds = self._end_step()
            self.errors += 1
            first_line, _, rest = message.strip().partition("\n")
            last_line = rest.rpartition("\n")[2].strip() or first_line
            doing = op.doing if in_flight or not self.dry_run else op.planned
            status = f"**{doing or 'failed'} failed ({seconds:.2f}s)**" if in_flight else doing
            self._row(op.symbol, resource.urn, status, f"error: {last_line}")
            said = self._output_of_step[-_REPEATED_OUTPUT_LINES:]
            self._diagnose(resource.urn, *said, f"error: {message.strip()}")

    def refreshed(self, op: Op, resource: Resource, info: str = "") -> None:
        """What a read found: an update, a deletion, or nothing."""
        if op is Op.SAME:
            self.same(resource)
        elif self.dry_run:
            self.planned(op, resource, info)
        else:
            self._count(op, resource)
            self._row(op.symbol, resource.urn, op.done, info)

    def in_flight(self) -> str:
        """The step in flight, in words; empty if there is none. Called by a signal handler too,
        so it waits for nobody.
        """
        step = self._in_flight
        return f"{step[0].doing} {urns.name_of(step[1].urn)}" if step is not None else ""

    def _end_step(self) -> float:
        with self._lock:
            started = self._in_flight[2] if self._in_flight else time.monotonic()
            self._in_flight = None
            return time.monotonic() - started

    def _count(self, op: Op, resource: Resource) -> None:
        if not resource.is_provider:
            self.counts[op] += 1

    # -- messages ---------------------------------------------------------------------------

    def output(self, text: str) -> None:
        """A line that the program or a provider printed."""
        if not text.strip():
            return
        with self._lock:
            if self._in_flight is None:
                self._row("", self._root_urn, text)
            else:
                op, resource, started = self._in_flight
                self._output_of_step.append(text)
                seconds = int(time.monotonic() - started)
                self._row(op.symbol, resource.urn, f"{op.doing} ({seconds}s)", text)

    def log(self, severity: str, text: str, urn: str = "") -> None:
        """A message logged through Pulumi: `info`, `warning` or `error`."""
        prefix = "" if severity == "info" else f"{severity}: "
        with self._lock:
            self.errors += severity == "error"
            first_line = text.strip().partition("\n")[0]
            self._row("", urn or self._root_urn, prefix + first_line)
            self._diagnose(urn or self._root_urn, f"{prefix}{text.rstrip()}")

    def _diagnose(self, urn: str, *messages: str) -> None:
        self._diagnostics.setdefault(urn, []).extend(messages)

    # -- the end ----------------------------------------------------------------------------

    def header(self, label: str, stack: str) -> None:
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
        if old is None:
            rows = _output_rows(new, new, only_changes=False)
        else:
            rows = _output_rows(old, new, only_changes=self.dry_run)
        if rows:
            self.line("Outputs:")
            for row in rows:
                self.line(row)
            self.line()

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


def diff_info(old: Mapping[str, PropertyValue], new: Mapping[str, PropertyValue]) -> str:
    """`[diff: +added-removed~changed]` over the keys of the inputs; empty if nothing differs."""
    before = {key: value for key, value in plain_map(old).items() if key != PROVIDER_KEY}
    after = {key: value for key, value in plain_map(new).items() if key != PROVIDER_KEY}
    added = [key for key in after if key not in before]
    removed = [key for key in before if key not in after]
    changed = [key for key in after if key in before and before[key] != after[key]]
    parts = [
        symbol + ",".join(sorted(keys))
        for symbol, keys in (("+", added), ("-", removed), ("~", changed))
        if keys
    ]
    return f"[diff: {''.join(parts)}]" if parts else ""


def _output_rows(old: PropertyMap, new: PropertyMap, *, only_changes: bool) -> list[str]:
    keys = sorted({*old, *new})
    width = max((len(key) for key in keys), default=0)
    rows: list[str] = []
    for key in keys:
        label = f"{key:<{width}}: "
        if key not in new:
            rows.append(f"  - {label}{_compact(old[key])}")
        elif key not in old:
            rows.append(f"  + {label}{_compact(new[key])}")
        elif old[key] != new[key]:
            rows.append(f"  ~ {label}{_compact(old[key])} => {_compact(new[key])}")
        elif not only_changes:
            rows += [f"{_INDENT}{line}" for line in _block(label, new[key])]
    return rows


def _scalar(value: PropertyValue) -> str:
    if isinstance(value, Secret):
        return "[secret]"
    if value == UNKNOWN:
        return "[unknown]"
    if value is None:
        return "<null>"
    return json.dumps(value, ensure_ascii=False)


def _compact(value: PropertyValue) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_compact(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_compact(item) for item in value) + "]"
    return _scalar(value)


def _block(label: str, value: PropertyValue) -> Iterable[str]:
    """A value over several lines, nested ones indented."""
    if isinstance(value, dict) and value:
        width = max(len(key) for key in value)
        yield label + "{"
        for key in sorted(value):
            yield from (_INDENT + line for line in _block(f"{key:<{width}}: ", value[key]))
        yield "}"
    elif isinstance(value, list) and value:
        yield label + "["
        for index, item in enumerate(value):
            yield from (_INDENT + line for line in _block(f"[{index}]: ", item))
        yield "]"
    else:
        yield label + _compact(value)
