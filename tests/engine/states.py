"""Normalizes states, so that those of two engines can be compared."""

from __future__ import annotations

import json
import re
from typing import Any

from engine.project.passphrase import Crypter
from engine.state import checkpoint
from engine.values import Secret

# Differ from run to run or between checkouts.
_NOT_COMPARED = ("created", "modified", "source_position", "stack_trace", "other", "alias")


def comparable(deployment: dict[str, Any], crypter: Crypter | None = None) -> list[dict[str, Any]]:
    """The decrypted resources, sorted, without times, positions and random names."""
    opened = crypter or Crypter("", checkpoint.salt_of(deployment))
    rows: list[dict[str, Any]] = []
    for entry in checkpoint.load(deployment, opened).resources:
        row = {key: value for key, value in vars(entry).items() if value}
        for key in _NOT_COMPARED:
            row.pop(key, None)
        row["dependencies"] = sorted(row.get("dependencies", []))
        rows.append(row)

    def encode(value: Any) -> Any:
        assert isinstance(value, Secret)
        return {"SECRET": value.value}

    text = json.dumps(rows, default=encode, sort_keys=True)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", text)
    text = re.sub(r"-[0-9a-f]{6}\b", "-SERIAL", text)
    return sorted(json.loads(text), key=lambda row: json.dumps(row, sort_keys=True))
