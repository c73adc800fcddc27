"""Replaces the config's secrets in all that is shown, wherever a program or provider puts them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from engine.values import REDACTED, PropertyMap, PropertyValue

# A shorter one is in too many words, and hiding it would show what it is.
_SHORTEST_CHARACTERS = 3
_NOT_HIDDEN = ("true", "false")


class SecretFilter:
    """Writes `[secret]` in place of secrets, also where they are escaped in JSON."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        hidden: set[str] = set()
        for secret in secrets:
            if len(secret) >= _SHORTEST_CHARACTERS and secret.lower() not in _NOT_HIDDEN:
                for ascii_only in (False, True):
                    hidden.add(json.dumps(secret, ensure_ascii=ascii_only)[1:-1])
                hidden.add(secret)
        # The longest first: one may contain another. What is hidden already stays as it is.
        parts = [REDACTED, *sorted(hidden, key=lambda secret: (-len(secret), secret))]
        self._pattern = re.compile("|".join(map(re.escape, parts))) if hidden else None

    def text(self, text: str) -> str:
        return self._pattern.sub(REDACTED, text) if self._pattern else text

    def properties(self, values: Mapping[str, PropertyValue]) -> PropertyMap:
        return {key: self.value(value) for key, value in values.items()}

    def value(self, value: PropertyValue) -> PropertyValue:
        """The value with all its texts filtered; secret values stay as they are."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self.properties(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value


SHOW_ALL = SecretFilter()
