"""What a provider's answer to a comparison means for a resource."""

from __future__ import annotations

from dataclasses import dataclass

from pulumi.runtime.proto import provider_pb2

from engine.deployment import paths
from engine.processes.provider import DIFF_SOME, DIFF_UNKNOWN
from engine.state.snapshot import Resource
from engine.values import PropertyMap, changed_keys

_INIT_ERROR_PATH: paths.PropertyPath = ["#initerror"]


@dataclass(frozen=True)
class Diff:
    """How a resource's inputs differ from its old state."""

    changes: bool
    replaces: bool
    delete_before_replace: bool
    replace_keys: tuple[str, ...] = ()  # the properties that force the replacement


def diff_in(
    response: provider_pb2.DiffResponse, old: Resource, options: Resource, inputs: PropertyMap
) -> Diff:
    """How checked inputs differ from the old ones.

    options: the resource, old or new, that says which changes are ignored and which replace it.
    """
    changes = response.changes == DIFF_SOME
    replace_keys = list(response.replaces)
    replaces = bool(replace_keys)
    covering = [
        path for text in options.replace_on_changes if (path := paths.parse(text)) is not None
    ]
    if response.changes == DIFF_UNKNOWN:
        # The provider leaves the comparison to the engine.
        kept = paths.restore(inputs, old.inputs, options.ignore_changes)
        keys = changed_keys(old.inputs, kept)
        changes = bool(keys)
        replace_keys += [key for key in keys if any(paths.covers(path, [key]) for path in covering)]
        replaces = bool(replace_keys)
    if old.init_errors and any(paths.covers(path, _INIT_ERROR_PATH) for path in covering):
        changes = replaces = True
    return Diff(changes, replaces, response.deleteBeforeReplace, tuple(replace_keys))
