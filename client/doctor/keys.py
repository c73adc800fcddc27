"""The check of the web service's keys: whose there are, by the names in the cluster's Secret."""

from __future__ import annotations

import base64
import json

from client.doctor.finding import Finding, State
from client.stacks.tools import at, list_at, text_at

FILE = "keys.json"
_NAMES_SHOWN = 10


def keys_finding(secret: object, make_up: str) -> Finding:
    """secret: as `kubectl get` shows it. It has hashes of keys, which are not shown."""
    names = _names(secret)
    if not names:
        message = "the web service has no keys, so that it refuses everybody: "
        way = f"`make key NAME=alice` draws one, and `{make_up}` brings it to the pods"
        return Finding("keys", State.WRONG, f"{message} {way}")
    more = f" and {len(names) - _NAMES_SHOWN} others" if len(names) > _NAMES_SHOWN else ""
    shown = ", ".join(names[:_NAMES_SHOWN])
    return Finding("keys", State.OK, f"the web service has keys of {shown}{more}")


def _names(secret: object) -> list[str]:
    encoded = at(secret, "data", FILE)
    try:
        content: object = json.loads(base64.b64decode(encoded if isinstance(encoded, str) else ""))
    except ValueError:
        return []
    names = [text_at(entry, "name") for entry in list_at(content, "keys")]
    return list(dict.fromkeys(filter(None, names)))
