"""Kinds of steps, and how each is written in the display and counted in the history."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from engine.state.snapshot import Resource
from engine.values import PropertyMap, changed_keys


@dataclass(frozen=True)
class _Words:
    symbol: str
    planned: str
    doing: str
    done: str


class Op(enum.Enum):
    """A step operation; the value is its name in the history."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REPLACE = "replace"
    CREATE_REPLACEMENT = "create-replacement"
    DELETE_REPLACED = "delete-replaced"
    REFRESH = "refresh"

    @property
    def symbol(self) -> str:
        return _WORDS[self].symbol

    @property
    def planned(self) -> str:
        return _WORDS[self].planned

    @property
    def doing(self) -> str:
        return _WORDS[self].doing

    @property
    def done(self) -> str:
        return _WORDS[self].done


_WORDS = {
    Op.SAME: _Words("", "", "", ""),
    Op.CREATE: _Words("+", "create", "creating", "created"),
    Op.UPDATE: _Words("~", "update", "updating", "updated"),
    Op.DELETE: _Words("-", "delete", "deleting", "deleted"),
    Op.REPLACE: _Words("+-", "replace", "replacing", "replaced"),
    Op.CREATE_REPLACEMENT: _Words(
        "++", "create replacement", "creating replacement", "created replacement"
    ),
    Op.DELETE_REPLACED: _Words("--", "delete original", "deleting original", "deleted original"),
    Op.REFRESH: _Words("~", "refresh", "refreshing", "refreshed"),
}

# What a replacement consists of; it is counted, and may be shown, as one step.
PARTS_OF_A_REPLACEMENT = (Op.CREATE_REPLACEMENT, Op.DELETE_REPLACED)
# The order in which the summary lists what was done.
COUNTED = (Op.CREATE, Op.UPDATE, Op.REPLACE, Op.DELETE)


@dataclass(frozen=True)
class Step:
    """What is done to one resource."""

    op: Op
    resource: Resource  # as it will be; what is deleted, as it was
    old: Resource | None = None  # what an update, a replacement or a refresh starts from
    replace_keys: tuple[str, ...] = ()  # the properties that make it a replacement
    is_refresh: bool = False

    def comparison(self) -> tuple[PropertyMap, PropertyMap]:
        """The properties before and after: the inputs.

        Where these are the same, what the provider found to differ is in the outputs.
        """
        old, new = self.old or self.resource, self.resource
        if changed_keys(old.inputs, new.inputs):
            return old.inputs, new.inputs
        if self.is_refresh:
            return old.outputs, new.outputs
        return {key: old.outputs.get(key, given) for key, given in new.inputs.items()}, new.inputs


class StepFailedError(Exception):
    """A step failed and the display has shown why; nothing further may start."""
