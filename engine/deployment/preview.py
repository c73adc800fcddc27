"""Previews: what an operation would do, without changing anything."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from engine.deployment import refresh as refreshing
from engine.deployment.deployment import Deployment
from engine.deployment.goal import Goal
from engine.deployment.steps import StepFailedError
from engine.deployment.survey import Survey
from engine.display.lines import Display
from engine.errors import ProviderError
from engine.processes.interrupts import Interrupts
from engine.processes.monitor import Answer
from engine.processes.program import ProgramRunner
from engine.processes.provider import DynamicProvider
from engine.state.snapshot import Snapshot
from engine.state.stack import Stack
from engine.values import PropertyMap


@dataclass(frozen=True)
class Preview:
    """The result of a dry run."""

    deployment: Deployment | None  # None for a refresh and after an early failure
    failed: bool


_FAILED = Preview(None, failed=True)


class DeploymentRegistrar:
    """Passes the program's registrations to a deployment."""

    def __init__(self, deployment: Deployment, interrupts: Interrupts) -> None:
        self._deployment = deployment
        self._interrupts = interrupts

    def register(self, goal: Goal) -> Answer:
        self._interrupts.raise_if_interrupted()
        resource = self._deployment.register(goal)
        # A component's old outputs may refer to resources that are not registered yet.
        outputs = resource.outputs if resource.custom else {}
        return Answer(resource.urn, resource.id, outputs)

    def register_outputs(self, urn: str, outputs: PropertyMap) -> None:
        self._deployment.register_outputs(urn, outputs)

    def state(self, urn: str) -> Answer | None:
        resource = self._deployment.result(urn)
        return Answer(urn, resource.id, resource.outputs) if resource else None


class DryRun:
    """Computes the previews of one stack."""

    def __init__(
        self,
        stack: Stack,
        provider: DynamicProvider,
        runner: ProgramRunner,
        interrupts: Interrupts,
        display: Display,
        *,
        is_followed: bool,
    ) -> None:
        """is_followed: the operation itself comes next, and may run the program again."""
        self._stack = stack
        self._provider = provider
        self._runner = runner
        self._interrupts = interrupts
        self._display = display
        self._is_followed = is_followed
        # The provider's config for an update, if the program has dynamic resources.
        self.provider_inputs: PropertyMap | None = None

    def refresh(self) -> Preview:
        try:
            refresh_from_state(self._stack, self._provider, self._display, self._interrupts)
        except StepFailedError:
            return _FAILED
        return Preview(None, failed=False)

    def destroy(self, *, refresh: bool) -> Preview:
        snapshot = self._stack.snapshot
        if refresh:
            try:
                snapshot = refresh_from_state(
                    self._stack, self._provider, self._display, self._interrupts
                )
            except StepFailedError:
                return _FAILED
            self._display.reset_counts()
        deployment = self._deployment(snapshot)
        with contextlib.suppress(StepFailedError):
            deployment.delete_unregistered(self._interrupts.raise_if_interrupted)
        return Preview(deployment, failed=bool(deployment.failure))

    def survey(self) -> Survey:
        """Run the program without a provider: this refuses unsupported features."""
        survey = Survey(self._stack.name, self._stack.project.name, self._stack.snapshot.resources)
        survey.succeeded = self._runner.run(survey, survey.messages, dry_run=True)
        if self._is_followed:
            self._runner.prepare()
        if survey.has_dynamic_resources:
            self.provider_inputs = self._stack.config.provider_inputs()
        return survey

    def update(self, *, refresh: bool) -> Preview:
        survey = self.survey()
        if self._interrupts.requested:
            return _FAILED
        succeeded = survey.succeeded
        snapshot = self._stack.snapshot
        if refresh:
            try:
                snapshot = refresh_from_state(
                    self._stack,
                    self._provider,
                    self._display,
                    self._interrupts,
                    self.provider_inputs,
                )
            except StepFailedError:
                return _FAILED
            self._display.reset_counts()
        deployment = self._deployment(snapshot)
        registrar = DeploymentRegistrar(deployment, self._interrupts)
        confirmed = True
        try:
            confirmed = survey.is_conclusive and survey.replay(registrar)
        except StepFailedError:
            succeeded = False
        if confirmed:
            survey.messages.show(self._display)
        else:
            # Run again: the provider's answers differ from the predicted ones.
            self._display.start_over()
            deployment = self._deployment(snapshot)
            registrar = DeploymentRegistrar(deployment, self._interrupts)
            succeeded = self._runner.run(registrar, self._display, dry_run=True)
        if succeeded and not deployment.failure:
            with contextlib.suppress(StepFailedError):
                deployment.delete_unregistered(self._interrupts.raise_if_interrupted)
        return Preview(deployment, failed=not succeeded or bool(deployment.failure))

    def _deployment(self, snapshot: Snapshot) -> Deployment:
        return Deployment(self._stack.target, snapshot, self._provider, self._display, None)


def refresh_from_state(
    stack: Stack,
    provider: DynamicProvider,
    display: Display,
    interrupts: Interrupts,
    provider_inputs: PropertyMap | None = None,
) -> Snapshot:
    """The refreshed snapshot.

    provider_inputs: the provider's config; by default the one in the state.
    """
    state = stack.snapshot.dynamic_provider()
    if state is not None:
        try:
            provider.configure(state.inputs if provider_inputs is None else provider_inputs)
        except ProviderError as error:
            display.log("error", str(error))
            raise StepFailedError(str(error)) from None
    return refreshing.refresh(stack.snapshot, provider, display, interrupts.raise_if_interrupted)
