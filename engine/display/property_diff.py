"""Formats properties and their changes: `[diff: ~steps]`, and `~ steps: 20 => 30`.

Secrets appear as `[secret]`, even where they change; values unknown before `up` as `[unknown]`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.display.secret_filter import SHOW_ALL, SecretFilter
from engine.values import (
    PROVIDER_KEY,
    REDACTED,
    UNKNOWN,
    PropertyMap,
    PropertyValue,
    Secret,
    equal,
    revealed,
)

CUT_CHARACTERS = 150
# How much of a common prefix is shown before the first difference.
_CONTEXT_CHARACTERS = 20
_ELLIPSIS = "..."
_INDENT = "    "


def diff_info(old: Mapping[str, PropertyValue], new: Mapping[str, PropertyValue]) -> str:
    """`[diff: +added-removed~changed]` over the keys; empty if nothing differs."""
    before, after = _shown(old), _shown(new)
    parts = [
        symbol + ",".join(sorted(keys))
        for symbol, keys in (
            ("+", after.keys() - before.keys()),
            ("-", before.keys() - after.keys()),
            ("~", changed(before, after)),
        )
        if keys
    ]
    return f"[diff: {''.join(parts)}]" if parts else ""


def changed(old: Mapping[str, PropertyValue], new: Mapping[str, PropertyValue]) -> set[str]:
    """The keys in both, with different values."""
    return {
        key for key in old.keys() & new.keys() if not equal(revealed(old[key]), revealed(new[key]))
    }


def changed_names(old: Mapping[str, PropertyValue], new: Mapping[str, PropertyValue]) -> set[str]:
    """The keys that were added, removed or changed."""
    before, after = _shown(old), _shown(new)
    return (before.keys() ^ after.keys()) | changed(before, after)


def _shown(values: Mapping[str, PropertyValue]) -> PropertyMap:
    return {key: value for key, value in values.items() if key != PROVIDER_KEY}


@dataclass(frozen=True)
class PropertyWriter:
    """Writes properties one per line, nested ones indented.

    cut: the most characters shown of a string; None for no limit.
    hidden: what is not shown of a string.
    """

    cut: int | None = CUT_CHARACTERS
    hidden: SecretFilter = SHOW_ALL

    def properties(self, values: Mapping[str, PropertyValue], level: int) -> Iterator[str]:
        """All properties, without changes."""
        return self._object("", _shown(values), level)

    def changes(
        self,
        old: Mapping[str, PropertyValue],
        new: Mapping[str, PropertyValue],
        level: int,
        *,
        only: bool = False,
    ) -> Iterator[str]:
        """The added (`+`), removed (`-`) and changed (`~`) properties; the rest unless `only`."""
        before, after = _shown(old), _shown(new)
        different = changed(before, after)
        keys = sorted(changed_names(before, after) if only else {*before, *after})
        width = max(map(len, keys), default=0)
        for key in keys:
            label = f"{key:<{width}}: "
            if key not in after:
                yield from self._value("-", label, before[key], level)
            elif key not in before:
                yield from self._value("+", label, after[key], level)
            elif key in different:
                yield from self._change(label, before[key], after[key], level)
            else:
                yield from self._value("", label, after[key], level)

    def _change(
        self, label: str, old: PropertyValue, new: PropertyValue, level: int
    ) -> Iterator[str]:
        if isinstance(old, dict) and isinstance(new, dict):
            yield _margin("~", level) + label + "{"
            yield from self.changes(old, new, level + 1)
            yield _margin("", level) + "}"
        elif isinstance(old, list) and isinstance(new, list):
            yield _margin("~", level) + label + "["
            yield from self._list_changes(old, new, level + 1)
            yield _margin("", level) + "]"
        else:
            before, after = self._shortened(old, new)
            yield f"{_margin('~', level)}{label}{before} => {after}"

    def _list_changes(
        self, old: list[PropertyValue], new: list[PropertyValue], level: int
    ) -> Iterator[str]:
        for index in range(max(len(old), len(new))):
            label = f"[{index}]: "
            if index >= len(new):
                yield from self._value("-", label, old[index], level)
            elif index >= len(old):
                yield from self._value("+", label, new[index], level)
            elif not equal(revealed(old[index]), revealed(new[index])):
                yield from self._change(label, old[index], new[index], level)
            else:
                yield from self._value("", label, new[index], level)

    def _value(self, symbol: str, label: str, value: PropertyValue, level: int) -> Iterator[str]:
        return self._lines(symbol, _margin(symbol, level) + label, value, level)

    def _lines(self, symbol: str, head: str, value: PropertyValue, level: int) -> Iterator[str]:
        """head: the text before the value."""
        if isinstance(value, dict) and value:
            yield head + "{"
            yield from self._object(symbol, value, level + 1)
            yield _margin("", level) + "}"
        elif isinstance(value, list) and value:
            yield head + "["
            for index, item in enumerate(value):
                # The official CLI repeats the symbol here.
                item_head = f"{_margin(symbol, level)}{_INDENT}[{index}]: "
                yield from self._lines(symbol, item_head, item, level + 1)
            yield _margin("", level) + "]"
        else:
            yield head + self._text(value)

    def _object(
        self, symbol: str, values: Mapping[str, PropertyValue], level: int
    ) -> Iterator[str]:
        width = max(map(len, values), default=0)
        for key in sorted(values):
            yield from self._value(symbol, f"{key:<{width}}: ", values[key], level)

    def _text(self, value: PropertyValue) -> str:
        """A value on one line."""
        if isinstance(value, Secret):
            return REDACTED
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k}: {self._text(value[k])}" for k in sorted(value)) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self._text, value)) + "]"
        if value is None:
            return "<null>"
        if value == UNKNOWN:
            return "[unknown]"
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else f"{value:+}".title()
        if isinstance(value, str):
            value = self.hidden.text(value)
            if self.cut is not None and len(value) > self.cut:
                value = value[: self.cut - len(_ELLIPSIS)] + _ELLIPSIS
        return json.dumps(value, ensure_ascii=False)

    def _shortened(self, old: PropertyValue, new: PropertyValue) -> tuple[str, str]:
        """Both values on one line; two long strings lose most of their common prefix."""
        if isinstance(old, str) and isinstance(new, str) and self.cut is not None:
            old, new = self.hidden.text(old), self.hidden.text(new)
            start = _common_length(old, new) - _CONTEXT_CHARACTERS
            if start > len(_ELLIPSIS) and max(len(old), len(new)) > self.cut:
                old, new = _ELLIPSIS + old[start:], _ELLIPSIS + new[start:]
        return self._text(old), self._text(new)


def _common_length(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _margin(symbol: str, level: int) -> str:
    """The indentation of a line, ending with the symbol of its change."""
    return (_INDENT * level)[:-2] + f"{symbol:<2}"
