"""A table of the resources that a stack would create, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from render.recorder import Registered, Run

_COLUMNS = ("type", "name", "protected", "parent")


@dataclass(frozen=True)
class Row:
    """One resource, with its name in the cloud or in Kubernetes if it has one."""

    type: str
    name: str
    cloud_name: str
    protected: bool
    parent: str
    needs: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "name": self.name,
            "cloudName": self.cloud_name,
            "protected": self.protected,
            "parent": self.parent,
            "needs": list(self.needs),
        }


def rows(run: Run) -> list[Row]:
    """All resources, sorted, since their registration order can vary."""
    return sorted((_row(r) for r in run.resources), key=lambda row: (row.type, row.name))


def as_text(table: list[Row]) -> str:
    """Aligned columns: type, name, protection, and parent component."""
    lines: list[tuple[str, ...]] = [_COLUMNS]
    for row in table:
        lines.append((row.type, row.name, "yes" if row.protected else "", row.parent))
    widths = [max(len(line[i]) for line in lines) for i in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _row(resource: Registered) -> Row:
    metadata = resource.outputs.get("metadata")
    named = metadata if isinstance(metadata, dict) else resource.outputs
    direct = {*resource.dependencies, *sum(resource.property_dependencies.values(), ())}
    return Row(
        type=resource.type,
        name=resource.name,
        cloud_name=str(named.get("name") or "") if resource.custom else "",
        protected=resource.protect,
        parent=_short(resource.parent),
        needs=tuple(sorted(_short(urn) for urn in direct)),
    )


def _short(urn: str) -> str:
    """The type and name in a URN; empty for the stack."""
    kinds, _, name = urn.rpartition("::")
    kind = kinds.rpartition("::")[2].rpartition("$")[2]
    return "" if kind == "pulumi:pulumi:Stack" else f"{kind} {name}"
