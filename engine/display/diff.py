"""The display of `--diff`: each step with the properties it adds, changes or removes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from engine.deployment.steps import REPLACEMENT_PARTS, Op, Step
from engine.display.lines import Display
from engine.display.property_diff import PropertyWriter
from engine.state.snapshot import Resource
from engine.values import PropertyMap

_INDENT = "    "
_OUTPUTS = "--outputs:--"


class DiffDisplay(Display):
    """Shows a block for each step, children indented below their parents."""

    def __init__(self, root_urn: str, *, dry_run: bool, stream: TextIO | None = None) -> None:
        super().__init__(root_urn, dry_run=dry_run, stream=stream)
        self._levels: dict[str, int] = {}  # of the resources shown so far, by URN

    def _show_same(self, step: Step) -> None:
        if step.resource.is_root_stack:
            self._show_block(Op.SAME, step)

    def _show_planned(self, step: Step) -> None:
        if step.op not in REPLACEMENT_PARTS:
            self._show_block(step.op, step)

    def _show_started(self, step: Step) -> None:
        if step.op is Op.CREATE_REPLACEMENT:
            self._show_block(Op.REPLACE, step)
        elif step.op is not Op.DELETE_REPLACED:
            self._show_block(step.op, step)

    def _show_done(self, step: Step, seconds: float | None) -> None:
        was_started = seconds is not None
        if not was_started and step.op not in (*REPLACEMENT_PARTS, Op.REPLACE):
            self._show_block(step.op, step)
        if was_started and step.op in (Op.CREATE, Op.CREATE_REPLACEMENT, Op.UPDATE):
            self._show_outputs_of(step)

    def _show_refreshed(self, step: Step) -> None:
        self._show_block(step.op, step)

    def outputs(self, old: PropertyMap | None, new: PropertyMap) -> None:
        rows = self._output_rows(old, new)
        if rows:
            self.line(_INDENT + _OUTPUTS)
            for row in rows:
                self.line(row)

    def _writer(self) -> PropertyWriter:
        return PropertyWriter(hidden=self.hidden)

    # -- blocks -----------------------------------------------------------------------------

    def _show_block(self, op: Op, step: Step) -> None:
        for line in self._block(op, step, self._level(step.resource)):
            self.line(line)

    def _block(self, op: Op, step: Step, level: int) -> Iterator[str]:
        resource, margin = step.resource, _INDENT * level
        yield f"{margin}{op.symbol:<2}{resource.type}: ({op.value})"
        known_id = (step.old or resource).id
        if known_id:
            yield f"{margin}{_INDENT}[id={known_id}]"
        yield f"{margin}{_INDENT}[urn={resource.urn}]"
        if step.old is not None:
            if op is not Op.SAME:
                yield from self._writer().changes(*step.comparison(), level + 1)
        else:
            yield from self._writer().properties(resource.inputs, level + 1)

    def _show_outputs_of(self, step: Step) -> None:
        """The new or changed outputs that are not inputs."""
        inputs = step.resource.inputs
        old, new = (
            {key: value for key, value in outputs.items() if key not in inputs}
            for outputs in (step.old.outputs if step.old else {}, step.resource.outputs)
        )
        level = self._level(step.resource) + 1
        if step.old is None:
            rows = list(self._writer().properties(new, level))
        else:
            rows = list(self._writer().changes(old, new, level, only=True))
        for line in [_INDENT * level + _OUTPUTS, *rows] if rows else []:
            self.line(line)

    def _level(self, resource: Resource) -> int:
        """One level below the parent, or below the stack if the parent is not shown."""
        if resource.urn not in self._levels:
            above = self._levels.get(resource.parent, 0)
            self._levels[resource.urn] = 0 if resource.is_root_stack else above + 1
        return self._levels[resource.urn]
