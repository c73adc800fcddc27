"""Refresh: read every resource from its provider and update the snapshot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from engine.deployment.steps import Op, Step, StepFailedError
from engine.display.lines import Display
from engine.errors import ProviderError
from engine.processes.provider import DynamicProvider
from engine.state.snapshot import Resource, Snapshot, now
from engine.values import equal, with_secrets_of


def refresh(
    snapshot: Snapshot,
    provider: DynamicProvider,
    display: Display,
    before_each: Callable[[], None],
) -> Snapshot:
    """The refreshed snapshot.

    before_each: called before each read; raises to stop.
    """
    kept: list[Resource] = []
    parent_of_deleted: dict[str, str] = {}
    for before in snapshot.resources:
        entry = dataclasses.replace(before)
        if entry.custom and not entry.is_provider and not entry.pending_replacement:
            before_each()
            found = _read(entry, provider, display)
            if found is None:
                if not entry.delete:  # otherwise its replacement has the URN
                    parent_of_deleted[entry.urn] = entry.parent
                continue
            kept.append(found)
        else:
            display.same(Step(Op.SAME, entry, entry))
            kept.append(entry)
        _drop_deleted_references(kept[-1], parent_of_deleted)
    return Snapshot(kept, snapshot.pending_operations)


def _read(entry: Resource, provider: DynamicProvider, display: Display) -> Resource | None:
    """The entry as the provider reports it: the same one if unchanged, None if deleted."""
    try:
        resource_id, outputs, inputs = provider.read(entry)
    except ProviderError as error:
        display.failed(Op.REFRESH, entry, str(error))
        raise StepFailedError(f"cannot read {entry.name}") from None
    if not resource_id:
        display.refreshed(Step(Op.DELETE, entry))
        return None
    outputs = with_secrets_of(outputs, entry.outputs)
    inputs = entry.inputs if inputs is None else with_secrets_of(inputs, entry.inputs)
    same_properties = equal(outputs, entry.outputs) and equal(inputs, entry.inputs)
    if resource_id == entry.id and same_properties:
        display.refreshed(Step(Op.SAME, entry, entry))
        return entry
    found = dataclasses.replace(
        entry, id=resource_id, outputs=outputs, inputs=inputs, modified=now()
    )
    display.refreshed(Step(Op.UPDATE, found, entry, is_refresh=True))
    return found


def _drop_deleted_references(entry: Resource, parent_of_deleted: dict[str, str]) -> None:
    """Drop references to deleted resources; children move to their grandparent."""
    while entry.parent in parent_of_deleted:
        entry.parent = parent_of_deleted[entry.parent]
    if entry.deleted_with in parent_of_deleted:
        entry.deleted_with = ""
    entry.dependencies = [urn for urn in entry.dependencies if urn not in parent_of_deleted]
    entry.property_dependencies = {
        key: alive
        for key, urns in entry.property_dependencies.items()
        if (alive := [urn for urn in urns if urn not in parent_of_deleted])
    }
