"""The keys of a service: hashes in a file, each with the name of whoever has the key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from web.safety import strict_json

MAX_KEYS = 1000

_EXTRA = "extra_forbidden"
_SHA256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


class KeysError(Exception):
    """The keys cannot be read. The message is one line, and quotes nothing of the file."""


class _Key(BaseModel):
    # What is not understood here, such as a date, might have been meant to refuse somebody.
    model_config = ConfigDict(extra="forbid", strict=True)

    name: _Name
    sha256: _SHA256


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    keys: Annotated[list[_Key], Field(max_length=MAX_KEYS)]


@dataclass(frozen=True)
class Keys:
    """Names and hashes. A name may stand twice, while its key is exchanged for another."""

    entries: Sequence[tuple[str, bytes]]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.entries)

    def name_of(self, credential: bytes) -> str | None:
        """Whose the key is; None if it is nobody's.

        All hashes are compared, each in constant time, so that the time tells nothing of them.
        """
        given, found = hashlib.sha256(credential).digest(), None
        for name, known in self.entries:
            if hmac.compare_digest(given, known):
                found = name
        return found


def parse(content: bytes) -> Keys:
    """Raises KeysError."""
    try:
        strict_json.check(content)
        keys = _File.model_validate_json(content).keys
    except strict_json.JsonError as error:
        raise KeysError(str(error).replace("the body", "it")) from None
    except ValidationError as error:
        raise KeysError(_said(error)) from None
    entries = tuple((key.name, bytes.fromhex(key.sha256)) for key in keys)
    if len({hashed for _, hashed in entries}) < len(entries):
        raise KeysError("the same key stands in it twice: give each name a key of its own")
    return Keys(entries)


def _said(error: ValidationError) -> str:
    """The first of what is wrong, without a value or a word of the file: it may be a key."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    places = first["loc"][:-1] if first["type"] == _EXTRA else first["loc"]
    place = ".".join(str(part) for part in places) or "it"
    if first["type"] == _EXTRA:
        return f"{place} has a field that is not known: keep to name and sha256"
    return f"{place}: {first['msg']}"
