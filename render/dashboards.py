"""The dashboards of a recorded run, as the JSON that Google gets."""

from __future__ import annotations

import json
from pathlib import Path

from render.recorder import Run

_FOLDER = "dashboards"


def write(run: Run, folder: Path) -> int:
    """Write a file for each dashboard, and return their number."""
    dashboards = run.of("gcp:monitoring/dashboard:Dashboard")
    for one in dashboards:
        file = folder / _FOLDER / f"{one.name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        content = json.loads(one.inputs["dashboardJson"])
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return len(dashboards)
