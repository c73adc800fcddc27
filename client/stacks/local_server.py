"""The server process of the stack `local`, found through its record."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from client.stacks.tools import at, number_at

RECORD_FILE = "server.json"
_START_TIME_TOLERANCE_SECONDS = 1.0


def recorded_process(state_folder: Path, rest_port: int | None = None) -> psutil.Process | None:
    """The recorded server if it is still running and, if given, `rest_port` is its REST port.

    state_folder: where the server keeps its log and the record of its process.
    """
    try:
        text = (state_folder / RECORD_FILE).read_text(encoding="utf-8", errors="replace")
        document = json.loads(text)
    except (OSError, ValueError):
        return None
    pid, started = at(document, "pid"), number_at(document, "started")
    if not isinstance(pid, int) or started is None:
        return None
    if rest_port not in (None, at(document, "rest_port")):
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < _START_TIME_TOLERANCE_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, ValueError):
        return None
