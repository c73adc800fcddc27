"""Property values in the checkpoint's JSON, where secrets are encrypted."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, cast

from engine.project.passphrase import Crypter
from engine.values import (
    REDACTED,
    SECRET_SIGNATURE,
    SIGNATURE_KEY,
    PropertyValue,
    Secret,
    revealed,
    whole_number,
)

# A number that JSON does not have, as the bits of the double.
_FLOAT_SIGNATURE = "8ad145fe-0d11-4827-bfd7-1abcbf086f5c"


def load_value(value: Any, crypter: Crypter | None, location: str) -> PropertyValue:
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        if mapping.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return _load_secret(mapping, crypter, location)
        if mapping.get(SIGNATURE_KEY) == _FLOAT_SIGNATURE:
            return _float_of(mapping)
        return {
            key: load_value(item, crypter, f"{location}.{key}") for key, item in mapping.items()
        }
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [load_value(item, crypter, f"{location}[{i}]") for i, item in enumerate(items)]
    return whole_number(value) if isinstance(value, float) else value


def _load_secret(entry: Mapping[str, Any], crypter: Crypter | None, location: str) -> Secret:
    if crypter is None:
        return Secret(REDACTED)
    ciphertext = str(entry.get("ciphertext") or "")
    text = entry.get("plaintext") or crypter.decrypt(ciphertext, location)
    return Secret(_load_inner(json.loads(str(text))), ciphertext or None)


def _load_inner(value: Any) -> PropertyValue:
    """The value of a secret, in which nested secrets are not encrypted."""
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        if mapping.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            text = mapping.get("plaintext") or mapping.get("ciphertext")
            return Secret(_load_inner(json.loads(str(text))))
        if mapping.get(SIGNATURE_KEY) == _FLOAT_SIGNATURE:
            return _float_of(mapping)
        return {key: _load_inner(item) for key, item in mapping.items()}
    if isinstance(value, list):
        return [_load_inner(item) for item in cast("list[Any]", value)]
    return whole_number(value) if isinstance(value, float) else value


def dump_value(value: PropertyValue, crypter: Crypter | None, location: str) -> Any:
    if isinstance(value, Secret):
        assert crypter is not None
        if value.ciphertext is None:
            inner = encoded(revealed(value.value))
            text = json.dumps(inner, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
            value.ciphertext = crypter.encrypt(text, location)
        return {SIGNATURE_KEY: SECRET_SIGNATURE, "ciphertext": value.ciphertext}
    if isinstance(value, dict):
        return {key: dump_value(value[key], crypter, f"{location}.{key}") for key in sorted(value)}
    if isinstance(value, list):
        return [dump_value(item, crypter, f"{location}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return {SIGNATURE_KEY: _FLOAT_SIGNATURE, "value": struct.pack(">d", value).hex()}
    return value


def encoded(value: PropertyValue) -> Any:
    """A value without secrets, as JSON."""
    return dump_value(value, None, "")


def _float_of(entry: Mapping[str, Any]) -> float:
    (value,) = struct.unpack(">d", bytes.fromhex(str(entry.get("value"))))
    return value
