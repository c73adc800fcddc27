"""The display for a terminal: a table of the changing resources, updated in place.

The final table stays on the screen. Each row shows the last line that its provider printed; all
lines are repeated under `Diagnostics:`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import IO, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from engine import urn as urns
from engine.deployment.steps import Op, Step
from engine.display.lines import Display, info_of
from engine.display.tolerant_stream import TolerantStream
from engine.state.snapshot import Resource

_REFRESHES_PER_SECOND = 4
_SPINNER = "|/-\\"
# Lines below the table, and one for the cursor.
_FOOTER_LINES = 4
_SHOW_CURSOR = "\x1b[?25h"
_STYLES = {"+": "green", "-": "red", "~": "yellow", "+-": "magenta", "++": "green", "--": "red"}
_FAILED_STYLE = "bold red"
_HEADINGS = ("", "Type", "Name", "Status", "Info")


@dataclass(frozen=True)
class _Row:
    """One resource and its step, which is in progress if `started` is set."""

    urn: str
    op: Op | None = None
    status: str = ""
    info: str = ""
    started: float | None = None
    is_failed: bool = False

    def cells(self, now: float) -> tuple[Text, ...]:
        symbol = self.op.symbol if self.op else ""
        status = self.status
        if self.started is not None and self.op is not None:
            status = f"{self.op.doing} ({int(now - self.started)}s)"
        style = _FAILED_STYLE if self.is_failed else _STYLES.get(symbol, "")
        return (
            Text(symbol, style),
            Text(_short_type(self.urn)),
            Text(urns.name_of(self.urn)),
            Text(status, style),
            Text(self.info),
        )


class LiveDisplay(Display):
    """Shows a table while an operation runs, and plain lines otherwise."""

    def __init__(
        self,
        root_urn: str,
        *,
        dry_run: bool,
        stream: TextIO | None = None,
        color: bool | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> None:
        """color: whether to use colors; None lets the terminal decide."""
        super().__init__(root_urn, dry_run=dry_run, stream=stream)
        self._console = Console(
            file=cast("IO[str]", TolerantStream(self._stream)),
            force_terminal=True,
            no_color=None if color is None else not color,
            highlight=False,
            width=width,
            height=height,
        )
        self._live: Live | None = None
        self._rows: dict[str, _Row] = {}  # rows are immutable: another thread draws them
        self._replaced: dict[str, _Row] = {}  # the original is not deleted yet
        self._notice = ""
        self._opened = time.monotonic()

    # -- opening and closing ----------------------------------------------------------------

    def header(self, label: str, stack: str, config: Mapping[str, str]) -> None:
        super().header(label, stack, config)
        self._open()

    def _open(self) -> None:
        self._live = Live(
            console=self._console,
            get_renderable=self.render,
            refresh_per_second=_REFRESHES_PER_SECOND,
            # A preview prints its lines once it is complete.
            transient=self.dry_run,
            # The next display must find the terminal itself in sys.stdout.
            redirect_stdout=False,
        )
        self._live.start()

    def close(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def restore_terminal(self) -> None:
        if self._live is not None:
            with contextlib.suppress(OSError, ValueError):
                os.write(self._stream.fileno(), f"{_SHOW_CURSOR}\n".encode())

    def notice(self, text: str) -> bool:
        self._notice = text
        return self._live is not None

    def flush_lines(self) -> None:
        self.close()
        super().flush_lines()

    def diagnostics(self) -> None:
        self.close()
        super().diagnostics()

    def line(self, text: str = "") -> None:
        with self._lock:
            if self._buffered is None and self._live is not None:
                self._console.print(Text(self.hidden.text(text)), soft_wrap=True)
            else:
                super().line(text)

    # -- steps ------------------------------------------------------------------------------

    def _show_started(self, step: Step) -> None:
        row = _Row(step.resource.urn, step.op, info=info_of(step), started=time.monotonic())
        self._rows.pop(row.urn, None)  # steps in progress come last
        self._rows[row.urn] = row

    def _show_done(self, step: Step, seconds: float | None) -> None:
        urn = step.resource.urn
        row = _Row(urn, step.op, step.op.done, info_of(step))
        if seconds is not None:
            row = replace(row, status=f"{row.status} ({seconds:.2f}s)")
        if step.op is Op.REPLACE:
            self._replaced[urn] = row
        # Deleting the original completes the replacement.
        is_end = step.op is Op.DELETE_REPLACED and urn in self._replaced
        self._rows[urn] = self._replaced.pop(urn) if is_end else row

    def _show_refreshed(self, step: Step) -> None:
        urn = step.resource.urn
        self._rows[urn] = _Row(urn, step.op, step.op.done, info_of(step))

    def _show_failed(self, op: Op, resource: Resource, status: str, error: str) -> None:
        if self.dry_run:
            super()._show_failed(op, resource, status, error)
        else:
            row = _Row(resource.urn, op, status.strip("*") or "failed", error, is_failed=True)
            self._rows[row.urn] = row

    # -- messages ---------------------------------------------------------------------------

    def output(self, text: str) -> None:
        with self._lock:
            super().output(text)
            if text.strip() and not self.dry_run:
                self._diagnose(self._current_urn(), text)

    def _current_urn(self) -> str:
        """The URN that a line of output belongs to."""
        return self._in_flight[0].resource.urn if self._in_flight else self._root_urn

    def _output_to_repeat(self) -> list[str]:
        return [] if not self.dry_run else super()._output_to_repeat()

    def _show_message(self, urn: str, text: str) -> None:
        if self.dry_run:
            super()._show_message(urn, text)
        else:
            row = self._rows.get(urn, _Row(urn))
            self._rows[urn] = replace(row, info=Text.from_ansi(text).plain.strip())

    def _show_step_output(self, step: Step, seconds: int, text: str) -> None:
        self._show_message(step.resource.urn, text)

    # -- drawing ----------------------------------------------------------------------------

    def render(self) -> RenderableType:
        """The table and its footer; only the last rows if the screen is too short.

        Called by the drawing thread, which must not block on a step: it takes no lock.
        """
        rows = list(self._rows.values())
        if self._live is None:
            return self._table(rows)
        seconds = int(time.monotonic() - self._opened)
        spinner = _SPINNER[int(time.monotonic() * _REFRESHES_PER_SECOND) % len(_SPINNER)]
        footer = [Text(f"{spinner} {seconds}s", "dim")]
        if self._notice:
            footer.append(Text(self._notice, "bold", no_wrap=True, overflow="ellipsis"))
        if not rows:
            return Group(*footer)
        room = max(1, self._console.height - _FOOTER_LINES)
        return Group(self._table(rows[-room:]), *footer)

    def _table(self, rows: list[_Row]) -> RenderableType:
        if not rows:
            return Group()
        table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
        for heading in _HEADINGS:
            is_info = heading == _HEADINGS[-1]
            table.add_column(
                heading, no_wrap=True, overflow="ellipsis", ratio=1 if is_info else None
            )
        now = time.monotonic()
        for row in rows:
            table.add_row(*row.cells(now))
        return table


def _short_type(urn: str) -> str:
    """The type without Pulumi's common prefixes."""
    name = urns.type_of(urn)
    for prefix in (
        f"{urns.DYNAMIC_PACKAGE}:dynamic/",
        f"{urns.DYNAMIC_PACKAGE}:",
        "pulumi:pulumi:",
    ):
        name = name.removeprefix(prefix)
    return name
