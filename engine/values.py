"""Property values: JSON-like data in which a value may be secret, or unknown until `up`.

An unknown is the marker string that the SDK sends; a secret is a `Secret`; resource references and
other special values are dictionaries with Pulumi's signature key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, cast

SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
RESOURCE_REFERENCE_SIGNATURE = "5cf8f73096256a8f31e491e813e4eb8e"
ASSET_SIGNATURES = {
    "c44067f5952c0a294b673a41bacd8c17": "an asset",
    "0def7320c3a5731c473e5ecbe6d01bc7": "an archive",
    "803fd3297a5875dc03ca845dda5d2a98": "a byte string",
}
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
PROVIDER_KEY = "__provider"  # the pickled provider object, an input of every dynamic resource

REDACTED = "[secret]"
# From here on, a float cannot represent every integer.
_EXACT_INTEGER_LIMIT = 2**53

PropertyValue: TypeAlias = (
    "bool | int | float | str | Secret | list[PropertyValue] | dict[str, PropertyValue] | None"
)
PropertyMap: TypeAlias = dict[str, PropertyValue]


@dataclass(eq=False)
class Secret:
    """A secret value; equal to another secret of an equal value."""

    value: PropertyValue
    # As read from the checkpoint; an unchanged secret is not encrypted again.
    ciphertext: str | None = field(default=None, repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and equal(self.value, other.value)

    __hash__ = None  # type: ignore[assignment]


def whole_number(value: float) -> int | float:
    """All numbers are doubles on the wire; whole ones become integers."""
    return int(value) if value.is_integer() and abs(value) < _EXACT_INTEGER_LIMIT else value


def revealed(value: PropertyValue) -> PropertyValue:
    """The value with secrets unwrapped; a resource reference becomes its ID, a component its URN.

    For a provider that accepts neither secrets nor resources.
    """
    if isinstance(value, Secret):
        return revealed(value.value)
    if isinstance(value, dict):
        if value.get(SIGNATURE_KEY) == RESOURCE_REFERENCE_SIGNATURE:
            return (value["id"] or UNKNOWN) if "id" in value else value["urn"]
        return {key: revealed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [revealed(item) for item in value]
    return value


def revealed_map(values: Mapping[str, PropertyValue]) -> PropertyMap:
    """`revealed` of every value."""
    return {key: revealed(item) for key, item in values.items()}


def redacted(value: PropertyValue) -> PropertyValue:
    """The value with `[secret]` in place of each secret."""
    if isinstance(value, Secret):
        return REDACTED
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value


def contains(value: PropertyValue, found: Callable[[PropertyValue], bool]) -> bool:
    """Whether `found` is true for the value or anything nested in it."""
    if found(value):
        return True
    if isinstance(value, Secret):
        return contains(value.value, found)
    if isinstance(value, dict):
        return any(contains(item, found) for item in value.values())
    if isinstance(value, list):
        return any(contains(item, found) for item in value)
    return False


def contains_secrets(value: PropertyValue) -> bool:
    return contains(value, lambda item: isinstance(item, Secret))


def special_form_in(value: PropertyValue) -> str:
    """The kind of asset in the value, such as "an archive"; empty if none."""
    found: list[str] = []

    def is_special(item: PropertyValue) -> bool:
        if isinstance(item, dict):
            signature = item.get(SIGNATURE_KEY)
            if isinstance(signature, str) and signature in ASSET_SIGNATURES:
                found.append(ASSET_SIGNATURES[signature])
                return True
        return False

    contains(value, is_special)
    return found[0] if found else ""


def with_secrets_of(outputs: PropertyMap, inputs: PropertyMap) -> PropertyMap:
    """The outputs, made secret wherever the input of the same key is."""
    marked = dict(outputs)
    for key, given in inputs.items():
        if key not in marked:
            continue
        value = marked[key]
        if isinstance(value, dict) and isinstance(given, dict):
            marked[key] = cast("PropertyValue", with_secrets_of(value, given))
        elif not isinstance(value, Secret) and contains_secrets(given):
            marked[key] = Secret(value)
    return marked


def equal(one: PropertyValue, other: PropertyValue) -> bool:
    """Whether Pulumi sees two values as equal; unlike in Python, `true` is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def changed_keys(old: Mapping[str, PropertyValue], new: Mapping[str, PropertyValue]) -> list[str]:
    """The top-level keys whose values differ, comparing secrets by value."""
    before, after = revealed_map(old), revealed_map(new)
    return sorted(
        key
        for key in {*before, *after}
        if (key in before) != (key in after) or not equal(before.get(key), after.get(key))
    )
