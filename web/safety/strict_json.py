"""JSON that means the same to every reader, and costs no more than its size."""

from __future__ import annotations

import json
import math
import re

MAX_DEPTH = 32
MAX_VALUES = 10_000
"""A reader takes far more time and memory for a value than for a byte of a text."""
MAX_DIGITS = 40

# One alternative for each bracket: a class of them would take Python's regex four times as long.
_TEXT_OR_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|\[|\{|\]|\}', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """The message says in one line what is wrong."""


def check(body: bytes) -> None:
    """Raises JsonError if the body is not JSON, or is JSON that readers understand differently:
    with NaN, infinite or endless numbers, a key twice in an object, half a character.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise JsonError(f"the body has more than {MAX_VALUES} values")
    _check_depth(body)
    try:
        value: object = json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except UnicodeDecodeError:
        raise JsonError("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"the body is not JSON: {error.msg} at character {error.pos + 1}") from None
    if _SURROGATE.search(body):
        _check_characters(value)


def _check_depth(body: bytes) -> None:
    depth = 0
    for found in _TEXT_OR_BRACKET.finditer(body):
        bracket = found[0]
        if bracket in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise JsonError(f"the body is nested deeper than {MAX_DEPTH} levels")
        elif bracket in (b"]", b"}"):
            depth -= 1


def _check_characters(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonError("a text has half of a surrogate pair, which is no character") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise JsonError("an object has the same key twice")
    return found


def _constant(text: str) -> object:
    raise JsonError(f"{text} is not a number in JSON")


def _float(text: str) -> float:
    number = float(text) if len(text) <= MAX_DIGITS else math.inf
    if math.isinf(number):
        raise JsonError("a number is too large or has too many digits")
    return number


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise JsonError("a number is too large or has too many digits")
    return int(text)
