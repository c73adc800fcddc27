"""JSON as TF Serving's parser (RapidJSON) accepts it, with a limit on nesting.

As in TF Serving: NaN, Inf and Infinity are numbers, the first of duplicate names in an object wins,
text after the first value is ignored, and bytes in strings that are not UTF-8 are kept. Unlike TF
Serving, which crashes on about 50,000 nested lists, it rejects documents nested too deeply.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from devserver.errors import ServingError, invalid_argument

MAX_NESTING = 64
"""Deeper than any tensor that TensorFlow's kernels or NumPy accept."""

DEBUG_TEXT_LIMIT = 256
"""TF Serving truncates values quoted in messages after about this many bytes."""

# A string up to its end or the end of the text, or a bracket. Possessive, so that the time is
# linear in the text's length whatever the text.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+\\?(?:"|\Z)|[\[\]{}]', re.DOTALL)
# As above, or a number.
_STRING_OR_NUMBER = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?', re.DOTALL
)
_MANY_DIGITS = re.compile(r"(?<![0-9])[0-9]{300}")
_THREE_DIGITS = re.compile(r"[0-9]{3}")
_LARGE_EXPONENT = re.compile(r"[eE]\+?0*[1-9][0-9]{2}")
# A string, which stays, or one of RapidJSON's constants that Python lacks.
_STRING_OR_CONSTANT = re.compile(
    r'(?P<string>"(?:[^"\\]++|\\.)*+"?)|(?P<inf>Inf)(?!inity)|(?P<nan>-NaN)', re.DOTALL
)
_UNFINISHED_NUMBER = re.compile(r"[0-9](?:\.|[eE][-+]?)(?![0-9])")
_TOO_BIG = "Number too big to be stored in double."
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_WHITESPACE = " \n\r\t"

# Python's messages, and RapidJSON's for the same errors.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
_MISSING_COMMA = {
    "}": "Missing a comma or } after an object member.",
    "]": "Missing a comma or ] after an array element.",
}


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else dict(reversed(pairs))


_DECODER = json.JSONDecoder(strict=True, object_pairs_hook=_members)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body. Strings hold odd bytes as surrogate escapes.

    Raises:
        ServingError: INVALID_ARGUMENT with TF Serving's message.
    """
    text = body.decode("utf-8", "surrogateescape")
    start = len(text) - len(text.lstrip(_WHITESPACE))
    if not text:
        raise _parse_error("The document is empty", None)
    if start == len(text):
        raise _parse_error("The document is empty.", len(body))
    _check_nesting(text)
    _check_surrogates(text)
    if "Inf" in text or "-NaN" in text:
        text = _STRING_OR_CONSTANT.sub(_python_constant, text)
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        message, position = _rapidjson_error(error)
        raise _parse_error(message, len(_encode(text[:position]))) from None
    except ValueError:
        # Python rejects integers of more than a few thousand digits.
        _check_numbers(text, len(text))
        raise _parse_error(_TOO_BIG, None) from None
    _check_numbers(text, end)
    if not isinstance(value, dict):
        raise invalid_argument(f"JSON Value: {debug_text(value)} Is not object")
    return value


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _parse_error(message: str, offset: int | None) -> ServingError:
    where = "" if offset is None else f" at offset: {offset}"
    return invalid_argument(f"JSON Parse error: {message}{where}")


def _python_constant(match: re.Match[str]) -> str:
    if match["string"]:
        return match["string"]
    return "Infinity" if match["inf"] else " NaN"


def _rapidjson_error(error: json.JSONDecodeError) -> tuple[str, int]:
    """RapidJSON's message and position for the error."""
    for python, rapidjson in _PARSE_ERRORS.items():
        if error.msg.startswith(python):
            return rapidjson, error.pos
    # Python accepts the number before a dot or exponent without digits, and fails on the rest.
    unfinished = _UNFINISHED_NUMBER.match(error.doc, max(0, error.pos - 1))
    if unfinished:
        missing = "fraction part" if "." in unfinished.group() else "exponent"
        return f"Miss {missing} in number.", unfinished.end()
    closing = _open_bracket(error.doc[: error.pos])
    return _MISSING_COMMA.get(closing, "Invalid value."), error.pos


def _check_numbers(text: str, end: int) -> None:
    """Rejects a number beyond float64, which Python's parser reads as infinity."""
    # 300 digits in a row have three among every hundredth character. Looking there first takes a
    # hundredth of the time, during which no other thread runs.
    may_have_digits = _THREE_DIGITS.search(text[:end:100]) and _MANY_DIGITS.search(text, 0, end)
    if not may_have_digits and not _LARGE_EXPONENT.search(text, 0, end):
        return
    for match in _STRING_OR_NUMBER.finditer(text, 0, end):
        if match.group()[0] != '"' and math.isinf(float(match.group())):
            raise _parse_error(_TOO_BIG, len(_encode(text[: match.start()])))


def _open_bracket(text: str) -> str:
    """The bracket that would close the innermost open list or object."""
    closing: list[str] = []
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match.group()
        if token in "[{":
            closing.append("]" if token == "[" else "}")
        elif token in "]}" and closing:
            closing.pop()
    return closing[-1] if closing else ""


def _check_nesting(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
            if depth > MAX_NESTING:
                raise _parse_error(f"Nested deeper than {MAX_NESTING} levels.", match.start())
        elif token in "]}":
            depth -= 1


def _check_surrogates(text: str) -> None:
    """Rejects half a surrogate pair, which Python's parser would accept."""
    if "\\ud" not in text and "\\uD" not in text:
        return
    high: re.Match[str] | None = None
    for match in _ESCAPE.finditer(text):
        code = int(match.group(1) or "0", 16)
        follows_high = high is not None and match.start() == high.end()
        if follows_high != (0xDC00 <= code < 0xE000) or (high and not follows_high):
            raise _half_pair(text, high or match)
        high = match if 0xD800 <= code < 0xDC00 else None
    if high:
        raise _half_pair(text, high)


def _half_pair(text: str, escape: re.Match[str]) -> ServingError:
    offset = len(_encode(text[: escape.start()]))
    return _parse_error("The surrogate pair in string is invalid.", offset)


def debug_text(value: Any) -> str:
    """A JSON value as TF Serving quotes it in messages: truncated if long."""
    return _pretty(value, 0)[:DEBUG_TEXT_LIMIT]


def _pretty(value: Any, level: int) -> str:
    if isinstance(value, list):
        items: list[str] = []
        length = 0
        for item in value:
            items.append(_pretty(item, level))
            length += len(items[-1])
            if length > DEBUG_TEXT_LIMIT:
                break
        return "[" + ", ".join(items) + "]"
    if isinstance(value, dict) and value:
        pad = "    " * (level + 1)
        members = [
            f"{pad}{json.dumps(key, ensure_ascii=False)}: {_pretty(item, level + 1)}"
            for key, item in list(value.items())[:DEBUG_TEXT_LIMIT]
        ]
        return "{\n" + ",\n".join(members) + "\n" + "    " * level + "}"
    if isinstance(value, str):
        value = value[:DEBUG_TEXT_LIMIT]
    elif isinstance(value, int) and value.bit_length() > 64:
        value = float(value) if value.bit_length() < 1024 else float("inf")
    return json.dumps(value, ensure_ascii=False)
