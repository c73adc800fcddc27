"""Property paths of ignoreChanges and replaceOnChanges: `root.nested["key"][0]`, `list[*]`."""

from __future__ import annotations

import copy
from typing import TypeAlias

from engine.values import PropertyMap, PropertyValue, Secret

PropertyPath: TypeAlias = list[str | int]
WILDCARD = "*"


def parse(text: str) -> PropertyPath | None:
    """The path's elements; None for an invalid path, which the official engine ignores too."""
    path: PropertyPath = []
    if text.startswith("."):
        return None
    while text:
        if text[0] == ".":
            text = text[1:]
            if not text:
                return None
        elif text.startswith('["'):
            key, position = "", 2
            while position < len(text) and text[position] != '"':
                position += text.startswith('\\"', position)
                key += text[position]
                position += 1
            if not text.startswith('"]', position):
                return None
            path.append(key)
            text = text[position + 2 :]
        elif text[0] == "[":
            index, bracket, text = text[1:].partition("]")
            if not bracket or not (index == WILDCARD or index.lstrip("+-").isdigit()):
                return None
            path.append(WILDCARD if index == WILDCARD else int(index))
        else:
            end = min((i for i in (text.find("."), text.find("[")) if i >= 0), default=len(text))
            path.append(text[:end])
            text = text[end:]
    return path


def covers(path: PropertyPath, other: PropertyPath) -> bool:
    """Whether `other` is at or below `path`, in which `*` matches any element."""
    return len(other) >= len(path) and all(
        mine in (WILDCARD, theirs) for mine, theirs in zip(path, other, strict=False)
    )


def restore(inputs: PropertyMap, old_inputs: PropertyMap, ignored: list[str]) -> PropertyMap:
    """The inputs, with the old values at the ignored paths."""
    restored = copy.deepcopy(inputs)
    for text in ignored:
        path = parse(text)
        if path:
            _reset(path, old_inputs, restored, secret=False)
    return restored


def _reset(path: PropertyPath, old: PropertyValue, new: PropertyValue, *, secret: bool) -> bool:
    """Copy the value at `path` from `old` into `new`, in place; False if their shapes differ.

    `secret`: `old` is inside a secret and `new` is not, so the copy must become a secret.
    """
    old_secret, new_secret = isinstance(old, Secret), isinstance(new, Secret)
    while isinstance(old, Secret):
        old = old.value
    while isinstance(new, Secret):
        new = new.value
    secret = (secret or old_secret) and not new_secret
    element, rest = path[0], path[1:]
    if isinstance(element, int):
        return _reset_item(element, rest, old, new, secret=secret)
    if element == WILDCARD:
        return _reset_all(rest, old, new, secret=secret)
    if rest:
        if not isinstance(old, dict) or not isinstance(new, dict):
            return not isinstance(old, dict) and not isinstance(new, dict)
        if element not in new:
            return element not in old
        return _reset(rest, old.get(element), new[element], secret=secret)
    if isinstance(old, dict) and element in old:
        if not isinstance(new, dict):
            return False
        new[element] = _copied(old[element], secret=secret)
    elif isinstance(new, dict):
        new.pop(element, None)
    return True


def _reset_item(
    index: int, rest: PropertyPath, old: PropertyValue, new: PropertyValue, *, secret: bool
) -> bool:
    if not isinstance(old, list) or not isinstance(new, list):
        return not isinstance(old, list) and not isinstance(new, list)
    if index < 0 or index >= len(old) or index >= len(new):
        return not rest and index >= len(old) and index >= len(new)
    if rest:
        return _reset(rest, old[index], new[index], secret=secret)
    new[index] = _copied(old[index], secret=secret)
    return True


def _reset_all(rest: PropertyPath, old: PropertyValue, new: PropertyValue, *, secret: bool) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        if not rest:
            new.clear()
            new.update({key: _copied(value, secret=secret) for key, value in old.items()})
            return True
        return all(key in new and _reset(rest, old[key], new[key], secret=secret) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        for index in range(min(len(old), len(new))):
            if not rest:
                new[index] = _copied(old[index], secret=secret)
            elif not _reset(rest, old[index], new[index], secret=secret):
                return False
        return len(old) == len(new)
    return not rest and isinstance(new, dict | list)


def _copied(value: PropertyValue, *, secret: bool) -> PropertyValue:
    copied = copy.deepcopy(value)
    return Secret(copied) if secret and not isinstance(copied, Secret) else copied
