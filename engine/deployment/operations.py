"""Operations on a stack: update, refresh and destroy, each with a preview."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.deployment.deployment import Deployment
from engine.deployment.preview import DeploymentRegistrar, DryRun, Preview, refresh_from_state
from engine.deployment.steps import Op, StepFailedError
from engine.display.diff import DiffDisplay
from engine.display.lines import Display
from engine.errors import (
    CancelledError,
    ChangesFoundError,
    ConfigurationError,
    OperationFailedError,
)
from engine.processes.interrupts import Interrupts
from engine.processes.program import ProgramRunner
from engine.processes.provider import DynamicProvider
from engine.state import checkpoint
from engine.state.snapshot import Snapshot
from engine.state.stack import Stack
from engine.values import PropertyMap

_PREVIEW_LABELS = {
    "update": "Previewing update",
    "refresh": "Previewing refresh",
    "destroy": "Previewing destroy",
}
_LABELS = {"update": "Updating", "refresh": "Refreshing", "destroy": "Destroying"}
_VERBS = {"update": "up", "refresh": "refresh", "destroy": "destroy"}


class DisplayForm(Protocol):
    """Creates displays of one format."""

    def __call__(self, root_urn: str, *, dry_run: bool) -> Display: ...


@dataclass(frozen=True)
class Options:
    """The command line's options for an operation."""

    yes: bool = False
    skip_preview: bool = False
    refresh: bool = False
    expect_no_changes: bool = False
    clear_pending_creates: bool = False
    message: str = ""


class Operation:
    """One operation on one stack."""

    def __init__(
        self,
        kind: str,
        stack: Stack,
        options: Options,
        interrupts: Interrupts,
        lock: Path | None,
        display_form: DisplayForm,
    ) -> None:
        """kind: update, refresh or destroy. lock: the stack's lock file; None for a preview."""
        self.kind = kind
        self.stack = stack
        self.options = options
        self.interrupts = interrupts
        self._lock = lock
        self._display_form = display_form
        self._display = display_form(stack.root_urn, dry_run=True)
        # Via a method, since the operation's display replaces the preview's.
        self._provider = DynamicProvider(stack.project, self._show_provider_output)
        self._runner = ProgramRunner(stack.project, stack.name, stack.config, interrupts)
        self._started = time.time()

    def preview(self) -> None:
        """Show what the operation would do."""
        with self._provider_process():
            self._preview(shown=True)
        if self.options.expect_no_changes and self._display.changes:
            raise ChangesFoundError(
                "no changes were expected for preview but changes were proposed"
            )

    def run(self) -> None:
        """Preview, ask for confirmation unless told not to, and perform the operation."""
        with self._provider_process():
            preview = self._preview(shown=not self.options.skip_preview)
            if not self.options.yes and not self.options.skip_preview:
                self._confirm(preview)
            self._perform(preview)
        if self.options.expect_no_changes and self._display.changes:
            raise ChangesFoundError(
                f"no changes were expected for {self.kind} but changes were proposed"
            )

    @contextlib.contextmanager
    def _provider_process(self) -> Generator[None]:
        try:
            if self.stack.snapshot.dynamic_provider() is not None:
                self._provider.start()  # in parallel with the program
            yield
        finally:
            self._display.close()
            self._provider.close()

    def _show_provider_output(self, text: str) -> None:
        self._display.output(text)

    def _switch_to(self, display: Display) -> Display:
        self._display.close()
        self._display = display
        self.interrupts.watch(display, self._lock)
        return display

    # -- previews ---------------------------------------------------------------------------

    def _preview(self, *, shown: bool) -> Preview:
        """Compute the preview, and show it if `shown`; then a failure ends the operation.

        An update always needs one: it is what refuses an unsupported program.
        """
        if not shown and self.kind != "update":
            return Preview(None, failed=False)
        form = self._display_form if shown else _hidden_display
        display = self._switch_to(form(self.stack.root_urn, dry_run=True))
        display.header(_PREVIEW_LABELS[self.kind], self.stack.name, self.stack.config.redacted())
        display.buffer_lines()
        dry_run = DryRun(self.stack, self._provider, self._runner, self.interrupts, display)
        if self.kind == "update":
            preview = dry_run.update(refresh=self.options.refresh)
        elif self.kind == "destroy":
            preview = dry_run.destroy(refresh=self.options.refresh)
        else:
            preview = dry_run.refresh()
        self.interrupts.raise_if_requested("interrupted during the preview; nothing was changed")
        if not shown:
            return preview
        display.flush_lines()
        display.diagnostics()
        _show_outputs(preview, display)
        display.summary()
        if preview.failed:
            raise OperationFailedError("the preview failed")
        return preview

    def _confirm(self, preview: Preview) -> None:
        if not sys.stdin.isatty():
            raise ConfigurationError(
                "--yes or --skip-preview must be passed in to proceed when running in "
                "non-interactive mode"
            )
        answer = self._ask()
        while answer in ("d", "details"):
            self._show_details(preview)
            answer = self._ask()
        if answer not in ("y", "yes"):
            raise CancelledError(f"{self.kind} declined; nothing was changed")

    def _ask(self) -> str:
        with self.interrupts.raising():
            answer = input(f"Do you want to perform this {self.kind}? [yes/no/details] ")
        return answer.strip().lower()

    def _show_details(self, preview: Preview) -> None:
        details = DiffDisplay(self.stack.root_urn, dry_run=True)
        for step in self._display.steps:
            show = details.same if step.op is Op.SAME else details.planned
            show(step)
        _show_outputs(preview, details)

    # -- operations -------------------------------------------------------------------------

    def _perform(self, preview: Preview) -> None:
        self._started = time.time()
        display = self._switch_to(self._display_form(self.stack.root_urn, dry_run=False))
        display.header(_LABELS[self.kind], self.stack.name, self.stack.config.redacted())
        display.line()
        self._warn_of_pending_operations(display)
        perform: dict[str, Callable[[], tuple[bool, Deployment | None]]] = {
            "update": lambda: self._update(display, preview),
            "refresh": lambda: (self._refresh(display), None),
            "destroy": self._destroy,
        }
        succeeded, deployment = perform[self.kind]()
        display.diagnostics()
        if self.kind == "refresh":
            root = self.stack.snapshot.root_stack()
            display.outputs(None, root.outputs if root else {})
        elif deployment is not None and deployment.stack_outputs is not None:
            display.outputs(deployment.old_outputs, deployment.stack_outputs)
        display.summary(time.time() - self._started)
        self._record(succeeded=succeeded)
        if self.interrupts.requested:
            raise CancelledError(
                f"{self.kind} interrupted; finished steps are saved. To continue, run "
                f"`python -m engine {_VERBS[self.kind]}`"
            )
        if not succeeded:
            raise OperationFailedError(f"{self.kind} failed")

    def _warn_of_pending_operations(self, display: Display) -> None:
        for operation in self.stack.snapshot.pending_operations:
            resource = operation.resource
            display.log(
                "warning",
                f"an earlier operation was interrupted while {operation.type} {resource.name}; "
                "the state may not show its result",
                resource.urn,
            )

    def _update(self, display: Display, preview: Preview) -> tuple[bool, Deployment | None]:
        unchanged = preview.deployment if preview.unchanged else None
        if unchanged is not None and not self.stack.snapshot.pending_operations:
            if self.options.skip_preview:
                preview.messages.show(display)
            display.counts.update(unchanged.display.counts)
            unchanged.commit(self.stack.save)
            return True, unchanged
        # The preview has already configured the provider.
        if self.options.refresh and not self._refresh_first(self._provider.config):
            return False, None
        deployment = self._deployment()
        registrar = DeploymentRegistrar(deployment, self.interrupts)
        try:
            succeeded = self._runner.run(registrar, display, dry_run=False)
            if succeeded and not deployment.failure:
                with contextlib.suppress(StepFailedError):
                    deployment.delete_unregistered(self.interrupts.raise_if_interrupted)
        except BaseException:
            deployment.save()  # finished steps are kept after any error
            raise
        succeeded = succeeded and not deployment.failure and not self.interrupts.requested
        deployment.finish_outputs(succeeded=succeeded)
        return succeeded, deployment

    def _refresh(self, display: Display) -> bool:
        try:
            snapshot, _ = refresh_from_state(self.stack, self._provider, display, self.interrupts)
        except StepFailedError:
            return False
        kept = [
            operation
            for operation in snapshot.pending_operations
            if operation.type == "creating" and not self.options.clear_pending_creates
        ]
        self.stack.snapshot = Snapshot(snapshot.resources, kept)
        self.stack.save(self.stack.snapshot)
        return True

    def _refresh_first(self, provider_inputs: PropertyMap | None) -> bool:
        """Refresh the snapshot before the operation itself; whether that succeeded."""
        try:
            snapshot, _ = refresh_from_state(
                self.stack, self._provider, self._display, self.interrupts, provider_inputs
            )
        except StepFailedError:
            return False
        self._display.reset_counts()
        self.stack.snapshot = snapshot
        self.stack.save(snapshot)
        return True

    def _destroy(self) -> tuple[bool, Deployment | None]:
        if self.options.refresh and not self._refresh_first(None):
            return False, None
        deployment = self._deployment()
        try:
            with contextlib.suppress(StepFailedError):
                deployment.delete_unregistered(self.interrupts.raise_if_interrupted)
        finally:
            deployment.save()
        return not deployment.failure and not self.interrupts.requested, deployment

    def _deployment(self) -> Deployment:
        return Deployment(
            self.stack.target, self.stack.snapshot, self._provider, self._display, self.stack.save
        )

    def _record(self, *, succeeded: bool) -> None:
        self.stack.files.add_history(
            {
                "kind": self.kind,
                "startTime": int(self._started),
                "message": self.options.message,
                "environment": {
                    "exec.kind": "embedded",
                    "pulumi.version": checkpoint.engine_version(),
                },
                "config": dict(self.stack.config.recorded),
                "version": 0,
                "result": "succeeded" if succeeded else "failed",
                "endTime": int(time.time()),
                "resourceChanges": {
                    op.value: count for op, count in self._display.counts.items() if count
                },
            }
        )


def _hidden_display(root_urn: str, *, dry_run: bool) -> Display:
    return Display(root_urn, dry_run=dry_run, stream=io.StringIO())


def _show_outputs(preview: Preview, display: Display) -> None:
    deployment = preview.deployment
    if deployment is not None and deployment.stack_outputs is not None and not preview.failed:
        display.outputs(deployment.old_outputs, deployment.stack_outputs)
