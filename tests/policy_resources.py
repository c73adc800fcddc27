"""Converts recorded resources for the policy rules."""

from __future__ import annotations

from policy.rules import Resource
from render.recorder import Run


def resources_of(run: Run) -> list[Resource]:
    return [
        Resource(
            type=r.type,
            name=r.name,
            inputs=r.inputs,
            protect=r.protect,
            object_name=r.outputs.get("metadata", {}).get("name", ""),
        )
        for r in run.resources
    ]
