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
from engine.display.secret_filter import SecretFilter
from engine.errors import (
    CancelledError,
    ChangesFoundError,
    ConfigurationError,
    EngineError,
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
_INTERRUPTED_BEFORE = "interrupted during the preview; nothing was changed"


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
        self._secret_filter = SecretFilter(stack.config.secrets)
        self._display = display_form(stack.root_urn, dry_run=True)
        # Via a method, since the operation's display replaces the preview's.
        self._provider = DynamicProvider(stack.project, self._show_provider_output)
        self._runner = ProgramRunner(stack.project, stack.name, stack.config, interrupts)
        self._provider_inputs: PropertyMap | None = None  # of an update; None: the state's
        self._started = time.time()

    def preview(self) -> None:
        """Show what the operation would do."""
        with self._processes():
            self._preview()
        if self.options.expect_no_changes and self._display.changes:
            raise ChangesFoundError(
                "no changes were expected for preview but changes were proposed"
            )

    def run(self) -> None:
        """Preview, ask for confirmation unless told not to, and perform the operation."""
        with self._processes():
            if self.options.skip_preview:
                self._refuse_unsupported()
            else:
                preview = self._preview()
                if not self.options.yes:
                    self._confirm(preview)
            self._perform()
        if self.options.expect_no_changes and self._display.changes:
            raise ChangesFoundError(
                f"no changes were expected for {self.kind} but changes were proposed"
            )

    @contextlib.contextmanager
    def _processes(self) -> Generator[None]:
        try:
            if self.stack.snapshot.dynamic_provider() is not None:
                self._provider.start()  # in parallel with the program
            yield
        except EngineError as error:
            error.args = (self._secret_filter.text(str(error)),)
            raise
        finally:
            self._display.close()
            self._runner.close()
            self._provider.close()

    def _show_provider_output(self, text: str) -> None:
        self._display.output(text)

    def _switch_to(self, display: Display) -> Display:
        self._display.close()
        self._display = display
        display.hidden = self._secret_filter
        self.interrupts.watch(display, self._lock)
        return display

    # -- previews ---------------------------------------------------------------------------

    def _dry_run(self, form: DisplayForm) -> DryRun:
        display = self._switch_to(form(self.stack.root_urn, dry_run=True))
        return DryRun(
            self.stack,
            self._provider,
            self._runner,
            self.interrupts,
            display,
            is_followed=self._lock is not None,
        )

    def _preview(self) -> Preview:
        """Compute and show the preview; its failure ends the operation."""
        dry_run = self._dry_run(self._display_form)
        display = self._display
        display.header(_PREVIEW_LABELS[self.kind], self.stack.name, self.stack.config.redacted)
        display.buffer_lines()
        if self.kind == "update":
            preview = dry_run.update(refresh=self.options.refresh)
            self._provider_inputs = dry_run.provider_inputs
        elif self.kind == "destroy":
            preview = dry_run.destroy(refresh=self.options.refresh)
        else:
            preview = dry_run.refresh()
        self.interrupts.raise_if_requested(_INTERRUPTED_BEFORE)
        display.flush_lines()
        display.diagnostics()
        _show_outputs(preview, display)
        display.summary()
        if preview.failed:
            raise OperationFailedError("the preview failed")
        return preview

    def _refuse_unsupported(self) -> None:
        """Survey the program of an update without a preview."""
        if self.kind == "update":
            dry_run = self._dry_run(_hidden_display)
            dry_run.survey()
            self._provider_inputs = dry_run.provider_inputs
            self.interrupts.raise_if_requested(_INTERRUPTED_BEFORE)

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
        details.hidden = self._secret_filter
        for step in self._display.steps:
            show = details.same if step.op is Op.SAME else details.planned
            show(step)
        _show_outputs(preview, details)

    # -- operations -------------------------------------------------------------------------

    def _perform(self) -> None:
        self._started = time.time()
        display = self._switch_to(self._display_form(self.stack.root_urn, dry_run=False))
        display.header(_LABELS[self.kind], self.stack.name, self.stack.config.redacted)
        display.line()
        self._warn_of_pending_operations(display)
        perform: dict[str, Callable[[], tuple[bool, Deployment | None]]] = {
            "update": lambda: self._update(display),
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
                f"{self.kind} interrupted; finished steps are saved. To continue, run the same "
                "command again"
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

    def _update(self, display: Display) -> tuple[bool, Deployment | None]:
        if self.options.refresh and not self._refresh_first(self._provider_inputs):
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
            snapshot = refresh_from_state(self.stack, self._provider, display, self.interrupts)
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
            snapshot = refresh_from_state(
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
            self.stack.target, self.stack.snapshot, self._provider, self._display, self._save
        )

    def _save(self, snapshot: Snapshot) -> None:
        """Save, unless the engine is about to exit: then the pending operation stays."""
        if not self.interrupts.is_exiting:
            self.stack.save(snapshot)

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
