"""YAML as the official CLI reads it, and the strings that it makes of config values.

Its library follows YAML 1.2 for words (`no` and `on` are strings) and YAML 1.1 for numbers (`010`
is 8); PyYAML follows YAML 1.1, in its own way.
"""

from __future__ import annotations

import datetime
import json
import re
from decimal import Decimal
from typing import Any, cast

import yaml

_TAG = "tag:yaml.org,2002:"
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)"
    r"(?:(?:[Tt](\d\d?):(\d\d?):(\d\d?)(\.\d+)?(Z|[-+]\d\d:[0-5]\d))"
    r"|(?: (\d\d?):(\d\d?):(\d\d?)(\.\d+)?))?"
)
_INTEGERS = range(-(2**63), 2**64)
_BASES = {"b": 2, "o": 8, "x": 16}
# The range that Go's JSON writes without an exponent.
_SMALLEST_PLAIN, _LARGEST_PLAIN = 1e-6, 1e21
_ESCAPED_IN_JSON = "<>&\u2028\u2029"


def load(text: str) -> object:
    """The first document in a YAML text. Raises yaml.YAMLError."""
    loader: Any = _Loader(text.removeprefix("\ufeff"))
    try:
        return loader.get_data() if loader.check_data() else None
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """The tag of a node without one."""
        if kind is not yaml.ScalarNode:
            return f"{_TAG}map" if kind is yaml.MappingNode else f"{_TAG}seq"
        if not implicit[0] or (value != "<<" and isinstance(_plain(value), str)):
            return f"{_TAG}str"
        return f"{_TAG}merge" if value == "<<" else f"{_TAG}plain"

    def construct_plain(self, node: yaml.ScalarNode) -> object:
        value = _plain(node.value)
        if isinstance(value, float) and not _is_finite(value):
            raise yaml.constructor.ConstructorError(
                None, None, f"the number {node.value} has no JSON", node.start_mark
            )
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse a key that is there twice."""
        mapping = super().construct_mapping(node, deep)
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
        return mapping


for _kind in ("plain", "int", "float", "bool", "null", "timestamp"):
    _Loader.add_constructor(f"{_TAG}{_kind}", _Loader.construct_plain)
_Loader.add_constructor(f"{_TAG}merge", lambda _, node: "<<")


def _is_finite(value: float) -> bool:
    return value - value == 0


def _plain(text: str) -> object:
    """The value of a scalar without quotes; the text itself if it is a string."""
    if text in _WORDS:
        return _WORDS[text]
    if timestamp := _TIMESTAMP.fullmatch(text):
        return _time(timestamp) or text
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    digits = text.replace("_", "") if text[0] in "+-0123456789" else text
    if _INTEGER.fullmatch(digits):
        number = _integer(digits)
        if number in _INTEGERS:
            return number
    if _FLOAT.fullmatch(digits):
        value = float(digits)
        return value if _is_finite(value) else text
    return text


def _integer(digits: str) -> int:
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-").lower()
    if digits[1:2] in _BASES:
        return sign * int(digits[2:], _BASES[digits[1]])
    return sign * int(digits, 8 if digits[0] == "0" else 10)


def _time(match: re.Match[str]) -> datetime.datetime | None:
    year, month, day = (int(part) for part in match.groups()[:3])
    given = match.groups()[3:7] if match[4] else match.groups()[8:]
    hour, minute, second = (int(part or 0) for part in given[:3])
    microseconds = round(float(given[3] or 0) * 1e6)
    try:
        zone = datetime.UTC
        if match[8] and match[8] != "Z":
            sign = -1 if match[8][0] == "-" else 1
            offset = datetime.timedelta(hours=int(match[8][1:3]), minutes=int(match[8][4:]))
            zone = datetime.timezone(sign * offset)
        return datetime.datetime(year, month, day, hour, minute, second, microseconds, zone)
    except ValueError:
        return None


# -- strings -----------------------------------------------------------------------------------


def as_string(value: object) -> str:
    """A config value as the official CLI passes it to programs."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, datetime.datetime):
        return _time_text(value)
    if isinstance(value, dict | list):
        return _json(cast("object", value))
    return str(value)


def key_text(key: object) -> str:
    """A key of a mapping as a string."""
    return "<nil>" if key is None else as_string(key)


def _json(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        mapping = cast("dict[object, object]", value)
        texts = {key_text(key): _json(item) for key, item in mapping.items()}
        return "{" + ",".join(f"{_json(key)}:{texts[key]}" for key in sorted(texts)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, cast("list[object]", value))) + "]"
    if isinstance(value, bool | int | float):
        return as_string(value)
    text = json.dumps(as_string(value), ensure_ascii=False)
    for character in _ESCAPED_IN_JSON:
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _float_text(value: float) -> str:
    if value == 0:
        return "0"
    if _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN:
        text = f"{Decimal(repr(value)):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return re.sub(r"e([-+])0(?=\d)", r"e\1", repr(value)).replace(".0e", "e")


def _time_text(value: datetime.datetime) -> str:
    offset = value.strftime("%z") or "+0000"
    zone = "UTC" if offset == "+0000" else offset
    fraction = f"{value:%f}".rstrip("0")
    day = f"{value.year:04}-{value:%m-%d}"  # %Y does not pad a year before 1000 everywhere
    return f"{day} {value:%H:%M:%S}{'.' if fraction else ''}{fraction} {offset} {zone}"
