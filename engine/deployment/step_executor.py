"""Executes steps one at a time, and saves a snapshot around every provider call.

A dry run takes the same path without calling or saving.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from engine.deployment.steps import Op, Step, StepFailedError
from engine.display.lines import Display
from engine.errors import ProviderError
from engine.processes.provider import DynamicProvider
from engine.state.snapshot import PendingOperation, Resource, Snapshot, now
from engine.values import PropertyMap, PropertyValue, Secret, with_secrets_of


class StepExecutor:
    """The resources of a snapshot during an operation.

    `base` has the old ones, in order; a finished one is dropped from the snapshot, and its new
    state is in `results`.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        provider: DynamicProvider,
        display: Display,
        save: Callable[[Snapshot], None] | None,
    ) -> None:
        """save: writes a snapshot; None makes this a dry run."""
        self.display = display
        self.base = [dataclasses.replace(entry) for entry in snapshot.resources]
        self.results: list[Resource] = []
        self.deleted: set[str] = set()  # URNs
        self.failure = ""  # why no further step may start
        self._provider = provider
        self._provider_inputs: PropertyMap | None = None
        self._save = save
        self._finished: set[int] = set()  # identities of base entries
        self._pending_creates = [
            operation for operation in snapshot.pending_operations if operation.type == "creating"
        ]

    @property
    def dry_run(self) -> bool:
        return self._save is None

    # -- the snapshot -----------------------------------------------------------------------

    def save(self, pending: PendingOperation | None = None) -> None:
        """Write the results, followed by the old resources that are not finished.

        pending: the provider call about to begin.
        """
        if self._save is not None:
            operations = [pending] if pending else []
            resources = self.results + self.unfinished()
            self._save(Snapshot(resources, operations + self._pending_creates))

    def unfinished(self) -> list[Resource]:
        return [entry for entry in self.base if id(entry) not in self._finished]

    def result(self, urn: str) -> Resource | None:
        """The resource that the registration of a URN produced."""
        return next((entry for entry in self.results if entry.urn == urn), None)

    def finish(self, old: Resource | None) -> None:
        """Mark an old resource as finished."""
        if old is not None:
            self._finished.add(id(old))

    # -- the provider -----------------------------------------------------------------------

    def use_provider_inputs(self, inputs: PropertyMap) -> None:
        """Configure the provider with these inputs."""
        self._provider_inputs = inputs

    @property
    def provider(self) -> DynamicProvider:
        """The configured provider; with the state's config if the run registers no resource."""
        if self._provider_inputs is None:
            state = Snapshot(self.base).dynamic_provider()
            self._provider_inputs = dict(state.inputs) if state else {}
        try:
            self._provider.configure(self._provider_inputs)
        except ProviderError as error:
            self.display.log("error", str(error))
            raise self.stop("the dynamic provider failed to start") from None
        return self._provider

    # -- failures ---------------------------------------------------------------------------

    def stop(self, reason: str) -> StepFailedError:
        """Record the failure and return the error to raise; the display has shown it."""
        self.failure = self.failure or reason
        return StepFailedError(reason)

    def fail(self, op: Op, resource: Resource, message: str) -> StepFailedError:
        """Show a failed step and return the error to raise."""
        self.display.failed(op, resource, message)
        return self.stop(f"{op.planned or 'check'} of {resource.name} failed")

    # -- steps ------------------------------------------------------------------------------

    def same(self, new: Resource, old: Resource) -> Resource:
        new.id, new.outputs = old.id, old.outputs
        _mark_secret_outputs(new)
        self.finish(old)
        self.results.append(new)
        self.display.same(Step(Op.SAME, new, old))
        return new

    def component(self, new: Resource, old: Resource | None, *, changes: bool) -> Resource:
        """Register a component: without provider calls, and never replaced."""
        if old is None:
            new.created = new.modified = now()
            self._show_done(Step(Op.CREATE, new))
        else:
            new.outputs = old.outputs
            if changes:
                new.modified = now()
                self._show_done(Step(Op.UPDATE, new, old))
            else:
                self.display.same(Step(Op.SAME, new, old))
        self.finish(old)
        self.results.append(new)
        return new

    def create(self, new: Resource) -> Resource:
        step = Step(Op.CREATE, new)
        self._create(step)
        self._show_done(step)
        self.save()
        return new

    def create_replacement(
        self,
        new: Resource,
        old: Resource,
        *,
        old_is_deleted: bool,
        replace_keys: Iterable[str] = (),
    ) -> Resource:
        """Create the replacement of an old resource, which is deleted at the end of the run
        unless it already was.

        replace_keys: the properties that force the replacement.
        """
        step = Step(Op.CREATE_REPLACEMENT, new, old, tuple(replace_keys))
        self._create(step)
        if old_is_deleted:
            self.finish(old)
        else:
            old.delete = True
        self._show_done(step)
        self._show_done(dataclasses.replace(step, op=Op.REPLACE))
        self.save()
        return new

    def _create(self, step: Step) -> None:
        new = step.resource
        if self.dry_run:
            new.outputs = dict(new.inputs)
        else:
            provider = self.provider
            self.display.started(step)
            self.save(PendingOperation(new, "creating"))
            try:
                new.id, outputs = provider.create(new)
            except ProviderError as error:
                self.save()
                raise self.fail(step.op, new, str(error)) from None
            new.outputs = with_secrets_of(outputs, new.inputs)
            # This settles a pending creation of a killed run; its warning was shown.
            self._pending_creates = [
                operation
                for operation in self._pending_creates
                if operation.resource.urn != new.urn
            ]
        new.created = new.modified = now()
        _mark_secret_outputs(new)
        self.results.append(new)

    def update(self, new: Resource, old: Resource) -> Resource:
        step = Step(Op.UPDATE, new, old)
        new.id = old.id
        if self.dry_run:
            new.outputs = dict(new.inputs)
        else:
            provider = self.provider
            self.display.started(step)
            self.save(PendingOperation(new, "updating"))
            try:
                outputs = provider.update(old, new)
            except ProviderError as error:
                self.save()
                raise self.fail(Op.UPDATE, new, str(error)) from None
            new.outputs = with_secrets_of(outputs, new.inputs)
        new.modified = now()
        _mark_secret_outputs(new)
        self.finish(old)
        self.results.append(new)
        self._show_done(step)
        self.save()
        return new

    def delete(self, entry: Resource, *, before_replace: bool) -> None:
        """Delete a resource.

        before_replace: keep it in the snapshot, as a pending replacement, until it is replaced.
        """
        op = Op.DELETE_REPLACED if before_replace or entry.delete else Op.DELETE
        needs_provider = (
            entry.custom
            and not entry.is_provider
            and not entry.external
            and not entry.retain_on_delete
            # Deleting that one deletes this one too.
            and entry.deleted_with not in self.deleted
        )
        if needs_provider and not self.dry_run:
            provider = self.provider
            self.display.started(Step(op, entry))
            self.save(PendingOperation(entry, "deleting"))
            try:
                provider.delete(entry)
            except ProviderError as error:
                self.save()
                raise self.fail(op, entry, str(error)) from None
        self.deleted.add(entry.urn)
        if before_replace:
            entry.pending_replacement = True
        else:
            self.finish(entry)
        self._show_done(Step(op, entry))
        if needs_provider:
            self.save()

    def _show_done(self, step: Step) -> None:
        if self.dry_run:
            self.display.planned(step)
        else:
            self.display.done(step)


def _mark_secret_outputs(resource: Resource) -> None:
    """Make outputs secret that are declared secret or have secret inputs."""
    secrets: Mapping[str, PropertyValue] = {
        **{key: Secret(None) for key in resource.additional_secret_outputs},
        **{key: value for key, value in resource.inputs.items() if isinstance(value, Secret)},
    }
    resource.outputs = {
        key: Secret(value) if key in secrets and not isinstance(value, Secret) else value
        for key, value in resource.outputs.items()
    }
