"""What Google does with a dashboard: checks it against its own definition, and gives it back."""

from __future__ import annotations

import json
from typing import Any

from google.cloud.monitoring_dashboard_v1 import Dashboard


def assert_google_takes(dashboard: dict[str, Any]) -> None:
    """By the messages of Google's own client; whatever they do not know raises."""
    message: Any = Dashboard.from_json(json.dumps(dashboard), ignore_unknown_fields=False)
    columns = message.mosaic_layout.columns
    taken: set[tuple[int, int]] = set()
    for tile in message.mosaic_layout.tiles:
        assert tile.x_pos + tile.width <= columns
        cells = {
            (tile.x_pos + x, tile.y_pos + y) for x in range(tile.width) for y in range(tile.height)
        }
        assert not cells & taken, "two tiles overlap"
        taken |= cells


def returned(value: Any) -> Any:
    """Without zeros and empty values, as Google answers."""
    if isinstance(value, dict):
        kept = {key: returned(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one not in (0, "", False, None, {}, [])}
    return [returned(one) for one in value] if isinstance(value, list) else value
