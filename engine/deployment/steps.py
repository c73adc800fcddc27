"""Step operations, with their names in the display and the history."""

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

# The two parts of a replacement, which is counted as one step.
REPLACEMENT_PARTS = (Op.CREATE_REPLACEMENT, Op.DELETE_REPLACED)
# In the order of the summary.
COUNTED = (Op.CREATE, Op.UPDATE, Op.REPLACE, Op.DELETE)


@dataclass(frozen=True)
class Step:
    """An operation on one resource."""

    op: Op
    resource: Resource  # the new state; the old one for a deletion
    old: Resource | None = None  # the old state of an update, a replacement or a refresh
    replace_keys: tuple[str, ...] = ()  # the properties that force a replacement
    is_refresh: bool = False

    def comparison(self) -> tuple[PropertyMap, PropertyMap]:
        """The properties before and after: the inputs, or the outputs if the inputs are equal."""
        old, new = self.old or self.resource, self.resource
        if changed_keys(old.inputs, new.inputs):
            return old.inputs, new.inputs
        if self.is_refresh:
            return old.outputs, new.outputs
        return {key: old.outputs.get(key, given) for key, given in new.inputs.items()}, new.inputs


class StepFailedError(Exception):
    """A step failed, and the display has shown why; no further step may start."""
