"""The step generator: decides on a step for each registration and has it executed.

A dry run makes the same decisions: it calls the provider's check and diff, and changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from engine import urn as urns
from engine.deployment import paths
from engine.deployment.goal import Goal
from engine.deployment.provider_diff import Diff, diff_in
from engine.deployment.registry import RegistrationError, Registry
from engine.deployment.step_executor import StepExecutor
from engine.deployment.steps import Op
from engine.display.lines import Display
from engine.errors import ProviderError
from engine.processes.provider import DynamicProvider
from engine.project.target import Target
from engine.state.snapshot import Resource, Snapshot, now
from engine.values import UNKNOWN, PropertyMap, equal, revealed, with_secrets_of


class Deployment:
    """Brings a stack's resources to the state that the program registers."""

    def __init__(
        self,
        target: Target,
        snapshot: Snapshot,
        provider: DynamicProvider,
        display: Display,
        save: Callable[[Snapshot], None] | None,
    ) -> None:
        """save: writes a snapshot; None makes this a dry run."""
        self.display = display
        self.stack_outputs: PropertyMap | None = None
        old_root = snapshot.root_stack()
        self.old_outputs = dict(old_root.outputs) if old_root else None
        self._target = target
        self._executor = StepExecutor(snapshot, provider, display, save)
        self._registry = Registry(target.stack, target.project, self._executor.base)
        self._replaced: set[str] = set()  # URNs
        self._provider_reference = ""

    @property
    def failure(self) -> str:
        """Why no further step may start; empty unless one failed."""
        return self._executor.failure

    def save(self) -> None:
        """Write the current snapshot; does nothing in a dry run."""
        self._executor.save()

    def result(self, urn: str) -> Resource | None:
        """The resource that a registration produced."""
        return self._executor.result(urn)

    # -- registrations ----------------------------------------------------------------------

    def register(self, goal: Goal) -> Resource:
        """Bring a resource to its goal and return its state. Raises StepFailedError."""
        try:
            registration = self._registry.register(goal)
        except RegistrationError as error:
            self.display.log("error", str(error))
            raise self._executor.stop(str(error)) from None
        old = registration.old
        new = Resource(
            urn=registration.urn,
            custom=goal.custom,
            type=goal.type,
            inputs=goal.inputs,
            parent=goal.parent,
            protect=registration.protect,
            retain_on_delete=registration.retain_on_delete,
            deleted_with=registration.deleted_with,
            dependencies=goal.dependencies,
            property_dependencies=goal.property_dependencies,
            additional_secret_outputs=goal.additional_secret_outputs,
            ignore_changes=goal.ignore_changes,
            hide_diff=goal.hide_diff,
            replace_on_changes=goal.replace_on_changes,
            custom_timeouts=goal.custom_timeouts,
            source_position=goal.source_position,
            stack_trace=goal.stack_trace,
            created=old.created if old else "",
            modified=old.modified if old else "",
            alias=registration.alias,
        )
        if not goal.custom:
            kept = paths.restore(goal.inputs, old.inputs, goal.ignore_changes) if old else {}
            return self._executor.component(
                new, old, changes=old is None or not equal(kept, old.inputs)
            )
        new.provider = self._default_provider()
        return self._register_custom(new, old, goal)

    def register_outputs(self, urn: str, outputs: PropertyMap) -> None:
        """Set a component's outputs; the stack's are set by `finish_outputs`."""
        component = self.result(urn)
        if component is None:
            raise self._executor.stop(f"outputs of the unregistered resource {urn}")
        if component.is_root_stack:
            self.stack_outputs = outputs
        else:
            component.outputs = outputs

    def _default_provider(self) -> str:
        """The default provider's reference; it is registered with its first resource."""
        if self._provider_reference:
            return self._provider_reference
        urn = urns.default_provider(self._target.stack, self._target.project)
        old = self._registry.old(urn)
        inputs = dict(self._target.provider_inputs)
        if old is not None and old.outputs == inputs and old.inputs == inputs:
            entry = old
        else:
            time = now()
            entry = Resource(
                urn=urn,
                custom=True,
                type=urns.DYNAMIC_PROVIDER_TYPE,
                id=old.id if old else str(uuid.uuid4()),
                inputs=inputs,
                outputs=inputs,
                created=old.created if old else time,
                modified=time,
            )
        self._executor.finish(old)
        self._executor.results.append(entry)
        self._executor.use_provider_inputs(inputs)
        self._provider_reference = f"{urn}::{entry.id}"
        return self._provider_reference

    def _register_custom(self, new: Resource, old: Resource | None, goal: Goal) -> Resource:
        if old is None:
            new.inputs = self._check(new, {}, goal.inputs)
            return self._executor.create(new)
        if new.urn in self._executor.deleted:
            # Deleted earlier in this run, before a dependency that was deleted for replacement.
            new.inputs = self._check(new, {}, goal.inputs)
            self._executor.deleted.discard(new.urn)
            self._replaced.add(new.urn)
            return self._executor.create_replacement(new, old, old_is_deleted=True)
        inputs = paths.restore(goal.inputs, old.inputs, goal.ignore_changes)
        new.inputs = self._check(new, old.inputs, inputs)
        diff = self._diff(new, old)
        if old.pending_replacement or (diff.changes and diff.replaces):
            return self._replace(new, old, goal, diff)
        if diff.changes or old.init_errors:
            return self._executor.update(new, old)
        return self._executor.same(new, old)

    def _check(self, new: Resource, old_inputs: PropertyMap, inputs: PropertyMap) -> PropertyMap:
        provider = self._executor.provider
        try:
            checked, failures = provider.check(new, old_inputs, inputs)
        except ProviderError as error:
            raise self._executor.fail(Op.SAME, new, str(error)) from None
        for key, reason in failures:
            where = f"property {key} value {{{revealed(inputs.get(key))}}} has a problem: "
            text = f"{new.type} resource '{new.name}': {where if key else ''}{reason}"
            self.display.log("error", text, new.urn)
        if failures:
            raise self._executor.stop(f"{new.name} has invalid inputs")
        return with_secrets_of(checked, inputs)

    def _diff(self, new: Resource, old: Resource) -> Diff:
        if new.deleted_with and new.deleted_with in self._replaced:
            return Diff(changes=True, replaces=True, delete_before_replace=False)
        return self._provider_diff(old, new, new.inputs)

    def _provider_diff(self, old: Resource, options: Resource, inputs: PropertyMap) -> Diff:
        provider = self._executor.provider
        try:
            response = provider.diff(old, options, inputs)
        except ProviderError as error:
            raise self._executor.fail(Op.UPDATE, options, str(error)) from None
        return diff_in(response, old, options, inputs)

    # -- replacements -------------------------------------------------------------------------

    def _replace(self, new: Resource, old: Resource, goal: Goal, diff: Diff) -> Resource:
        if new.protect and old.protect:
            failure = self._executor.fail(
                Op.REPLACE,
                new,
                f"unable to replace resource {new.name}: it is protected; remove its `protect` "
                "flag from the program first",
            )
            if not self._executor.dry_run:
                raise failure
        self._replaced.add(new.urn)
        new.inputs = self._check(new, {}, goal.inputs)
        delete_first = diff.delete_before_replace
        if goal.delete_before_replace is not None:
            delete_first = goal.delete_before_replace
        if delete_first:
            self._delete_before_replace(old)
        gone = delete_first or old.pending_replacement
        return self._executor.create_replacement(
            new, old, old_is_deleted=gone, replace_keys=diff.replace_keys
        )

    def _delete_before_replace(self, old: Resource) -> None:
        dependents = self._dependents_to_replace(old)
        for dependent in reversed(dependents):
            if dependent.protect and not dependent.delete:
                raise self._executor.fail(
                    Op.REPLACE,
                    dependent,
                    f"unable to replace resource {dependent.name} as part of replacing "
                    f"{old.name}: it is protected; remove its `protect` flag from the program "
                    "first",
                )
        # Marked first: a resource with deletedWith one of these needs no call of its own.
        to_delete = dependents if old.pending_replacement else [old, *dependents]
        self._executor.deleted |= {entry.urn for entry in to_delete}
        for entry in reversed(to_delete):
            self._executor.delete(entry, before_replace=not entry.delete)

    def _dependents_to_replace(self, root: Resource) -> list[Resource]:
        """Old resources that must be replaced if `root` is deleted, in dependency order."""
        found: list[Resource] = []
        replaced = {root.urn}
        for entry in self._executor.unfinished():
            if (
                not entry.custom
                or entry.external
                or entry.is_provider
                or entry is root
                or entry.urn in self._registry
                or entry.urn in self._executor.deleted
                or entry.pending_replacement
            ):
                continue
            affected = {
                key
                for key, dependencies in entry.property_dependencies.items()
                if replaced.intersection(dependencies)
            }
            if entry.deleted_with in replaced or (
                affected and self._is_replaced_when_unknown(entry, affected)
            ):
                found.append(entry)
                replaced.add(entry.urn)
        return found

    def _is_replaced_when_unknown(self, entry: Resource, keys: set[str]) -> bool:
        inputs: PropertyMap = {
            key: UNKNOWN if key in keys else value for key, value in entry.inputs.items()
        }
        return self._provider_diff(entry, entry, inputs).replaces

    # -- deletions --------------------------------------------------------------------------

    def delete_unregistered(self, before_each: Callable[[], None]) -> None:
        """Delete replaced resources and those the program no longer registers.

        Dependents are deleted first: the reverse of the snapshot's order. Every protected resource
        is an error, and it and the resources it refers to are kept.

        before_each: called before each deletion; raises to stop.
        """
        to_delete = self._executor.unfinished()
        self._executor.deleted |= {entry.urn for entry in to_delete}
        kept: set[str] = set()
        for entry in reversed(to_delete):
            if entry.pending_replacement:
                self._executor.finish(entry)  # deleted by an earlier run
                continue
            refused = entry.protect and not entry.delete
            if refused:
                self._executor.fail(
                    Op.DELETE,
                    entry,
                    f"resource {entry.name} cannot be deleted because it is protected; remove "
                    "its `protect` flag from the program and run up first",
                )
            if refused or (entry.urn in kept and not entry.delete):
                kept.update(entry.references())
                continue
            before_each()
            self._executor.delete(entry, before_replace=False)
        self.save()

    # -- finishing --------------------------------------------------------------------------

    def finish_outputs(self, *, succeeded: bool) -> None:
        """Set the stack's outputs; after a failure, old ones not set again are kept."""
        root = next((entry for entry in self._executor.results if entry.is_root_stack), None)
        if root is not None and self.stack_outputs is not None:
            old = self.old_outputs or {}
            root.outputs = self.stack_outputs if succeeded else {**old, **self.stack_outputs}
        self.save()
