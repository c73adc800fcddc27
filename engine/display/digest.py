"""The display of `preview --json`: one JSON document, the official CLI's preview digest."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from typing import Any, TextIO

from engine.deployment.steps import REPLACEMENT_PARTS, Op, Step
from engine.display.lines import Display
from engine.display.property_diff import changed_names
from engine.state import checkpoint
from engine.state.snapshot import Resource
from engine.values import PropertyMap


class DigestDisplay(Display):
    """Prints nothing but the summary, which is the whole document."""

    def __init__(self, root_urn: str, *, dry_run: bool, stream: TextIO | None = None) -> None:
        super().__init__(root_urn, dry_run=dry_run, stream=stream)
        self._config: Mapping[str, str] = {}
        self._messages: list[dict[str, str]] = []
        self._started = time.monotonic_ns()

    def header(self, label: str, stack: str, config: Mapping[str, str]) -> None:
        self._config = config

    def line(self, text: str = "") -> None:
        """Prints no lines."""

    def start_over(self) -> None:
        super().start_over()
        self._messages.clear()

    def _add_message(self, urn: str, severity: str, text: str) -> None:
        message = {"urn": urn, "message": self.hidden.text(text), "severity": severity}
        self._messages.append({key: value for key, value in message.items() if value})

    def output(self, text: str) -> None:
        self._add_message("", "info", f"{text}\n")

    def log(self, severity: str, text: str, urn: str = "") -> None:
        super().log(severity, text, urn)
        prefix = "" if severity == "info" else f"{severity}: "
        self._add_message(urn, severity, f"{prefix}{text}\n")

    def failed(self, op: Op, resource: Resource, message: str) -> None:
        super().failed(op, resource, message)
        self._add_message(resource.urn, "error", f"error: {message.strip()}\n")

    def summary(self, seconds: float | None = None) -> None:
        """Print the digest."""
        digest = {
            "config": self.hidden.properties(dict(self._config)),
            "steps": [self._step(step) for step in self.steps if _is_shown(step)],
            "diagnostics": self._messages,
            "duration": time.monotonic_ns() - self._started,
            "changeSummary": {op.value: count for op, count in self._counts_by_name()},
        }
        digest = {key: value for key, value in digest.items() if value}
        print(json.dumps(digest, indent=4, ensure_ascii=False), file=self._stream, flush=True)

    def _counts_by_name(self) -> list[tuple[Op, int]]:
        counted = [
            (op, count)
            for op, count in self.counts.items()
            if count and op not in REPLACEMENT_PARTS
        ]
        return sorted(counted, key=lambda item: item[0].value)

    def _step(self, step: Step) -> dict[str, Any]:
        resource = step.resource
        shown: dict[str, Any] = {"op": step.op.value, "urn": resource.urn}
        if resource.provider:
            shown["provider"] = resource.provider
        if step.op is Op.DELETE:
            shown["oldState"] = self._state(resource)
        else:
            if step.old is not None:
                shown["oldState"] = self._state(step.old)
            # Before the provider call there is no ID, and the outputs are guesses.
            outputs: PropertyMap = resource.outputs if step.is_refresh else {}
            identity = resource.id if step.is_refresh else ""
            planned = dataclasses.replace(resource, id=identity, outputs=outputs)
            shown["newState"] = self._state(planned)
        if step.old is not None and step.op is not Op.SAME:
            shown["diffReasons"] = sorted(changed_names(*step.comparison()))
        if step.replace_keys:
            shown["replaceReasons"] = sorted(step.replace_keys)
        shown["detailedDiff"] = None  # Python dynamic providers do not return one
        return shown

    def _state(self, resource: Resource) -> dict[str, Any]:
        hidden = self.hidden
        return checkpoint.dump_redacted(
            dataclasses.replace(
                resource,
                id=hidden.text(resource.id),
                inputs=hidden.properties(resource.inputs),
                outputs=hidden.properties(resource.outputs),
            )
        )


def _is_shown(step: Step) -> bool:
    if step.op is Op.SAME:
        return step.resource.is_root_stack
    return step.op not in REPLACEMENT_PARTS
