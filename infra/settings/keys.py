"""The keys of the web service: names, and hashes in place of the keys themselves.

No message quotes a key, or a name that may be one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, cast

import pulumi

from infra.settings import project_file
from infra.settings.values import SettingsError

API_KEYS = "apiKeys"
KEYS = frozenset({API_KEYS})
MAX_KEYS = 1000
PLACEHOLDER = '{"alice": "in-place-of-a-key-to-come"}'
"""For whoever reads settings whose keys do not matter."""

FRONT = "front"
"""The name of the front's own key at its workers, with mode knative."""
_FRONT_LABEL = b"diffusion-serving: the front at its workers"

NAME = re.compile(r"(?!secure$)[a-z0-9][a-z0-9-]{0,39}")
"""Whose a key is; `secure` is how Pulumi marks a secret in a file."""
NAME_RULE = "has 1 to 40 lower-case letters, digits and hyphens, and is not secure"
_KEY = re.compile(r"[!-~]{20,200}")


@dataclass(frozen=True)
class ApiKey:
    """Whose a key is, and its SHA-256 in hexadecimal digits."""

    name: str
    sha256: str


def parse(values: Mapping[str, str], *, has_front: bool = False) -> tuple[ApiKey, ...]:
    """The keys, by name. Raises SettingsError for the first invalid one, or if there are none.

    has_front: whether a front has a key of its own.
    """
    named = _named(values.get(API_KEYS, ""))
    if not named:
        _refuse("is empty: nobody could use the service")
    if len(named) > MAX_KEYS:
        _refuse(f"has {len(named)} keys, more than {MAX_KEYS}: remove some")
    if has_front and FRONT in named:
        _refuse(f"{FRONT} is the name of the front's own key: name this one otherwise")
    found: dict[str, str] = {}
    for name, key in sorted(named.items()):
        if not NAME.fullmatch(name):
            _refuse(f"a name {NAME_RULE}")
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            _refuse(f"the key of {name} must be 20 to 200 visible ASCII characters without spaces")
        sha256 = hashlib.sha256(key.encode()).hexdigest()
        if sha256 in found:
            _refuse(f"{found[sha256]} and {name} have the same key: each needs one of its own")
        found[sha256] = name
    return tuple(ApiKey(name, sha256) for sha256, name in found.items())


def front_key(values: Mapping[str, str]) -> str:
    """The front's own key, which nobody has to keep: it follows from all the others."""
    named = json.dumps(sorted(_named(values.get(API_KEYS, "")).items()))
    return hmac.new(named.encode(), _FRONT_LABEL, hashlib.sha256).hexdigest()


def hashed(name: str, key: str) -> ApiKey:
    return ApiKey(name, hashlib.sha256(key.encode()).hexdigest())


def refuse_plain_text(stack: str, project: str) -> None:
    """Raise SettingsError if the stack's file has a key that is not encrypted."""
    written = project_file.stack_config(stack).get(f"{project}:{API_KEYS}")
    if written and not all(_is_encrypted(one) for one in _members(written)):
        _refuse(
            f"a key stands in plain text in {project_file.stack_file(stack).name}: remove it there"
        )


def _members(written: object) -> list[object]:
    if isinstance(written, dict) and "secure" not in written:
        return list(cast("dict[str, object]", written).values())
    return [written]


def _is_encrypted(written: object) -> bool:
    return isinstance(written, dict) and "secure" in written


def _named(text: str) -> dict[str, object]:
    try:
        value: object = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        _refuse("must be names with a key each")
    return cast("dict[str, object]", value)


def _refuse(problem: str) -> NoReturn:
    command = f"make key STACK={pulumi.get_stack()} NAME=alice"
    raise SettingsError(API_KEYS, problem, None, f"To draw and set a key: `{command}`") from None
