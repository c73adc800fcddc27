"""What Pulumi.yaml and the stacks' files say, read without an engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import yaml

from model_export.spec import WEIGHTS_LICENCE

ROOT = Path(__file__).resolve().parents[2]

MAKE_VARIABLES = {
    "gcp:project": "PROJECT=your-project-id",
    "allowedSourceRanges": "RANGES=203.0.113.7/32",
    "acceptLicence": f'LICENCE="{WEIGHTS_LICENCE}"',
}
"""How `make stack` is told the settings that have no default."""
_ONLY_IF_EXPOSED = "allowedSourceRanges"


def project_name() -> str:
    return str(_read(ROOT / "Pulumi.yaml").get("name") or "")


def backend_url() -> str:
    """The backend that Pulumi.yaml names for all stacks; empty without one."""
    backend = _read(ROOT / "Pulumi.yaml").get("backend")
    named = cast("dict[str, Any]", backend).get("url") if isinstance(backend, dict) else None
    return str(named or "")


def defaults() -> dict[str, str]:
    """The default of every setting, as the program gets it."""
    declared = cast("dict[str, dict[str, Any]]", _read(ROOT / "Pulumi.yaml").get("config") or {})
    return {key: as_text(one["default"]) for key, one in declared.items() if "default" in one}


def stack_file(stack: str) -> Path:
    """The file of a stack, which may be named with its organization and project."""
    return ROOT / f"Pulumi.{stack.rpartition('/')[2]}.yaml"


def stack_config(stack: str) -> dict[str, Any]:
    """What a stack's file sets, with full keys; nothing where the file cannot be read."""
    config = _read(stack_file(stack)).get("config")
    values = cast("dict[object, Any]", config) if isinstance(config, dict) else {}
    name = project_name()
    return {full_key(str(key), name): value for key, value in values.items()}


def target(stack: str) -> str:
    """Where a stack serves; the default is that in Pulumi.yaml."""
    return str(stack_config(stack).get(f"{project_name()}:target") or "local")


def is_to_copy(stack: str) -> bool:
    """Whether a stack is one to make one's own stack from: git has its file, and it is for GKE."""
    try:
        lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return f"!{stack_file(stack).name}" in lines and target(stack) != "local"


def advice_to_copy(stack: str) -> str:
    """How to make one's own stack from this one."""
    given = " ".join(text for key, text in MAKE_VARIABLES.items() if key != _ONLY_IF_EXPOSED)
    return f"`make stack STACK=mine FROM={stack} {given}`"


def full_key(key: str, project: str) -> str:
    """A key without a namespace is the project's, as Pulumi reads it."""
    return key if ":" in key else f"{project}:{key}"


def as_text(value: Any) -> str:
    """A value of a YAML file as the program gets it."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, default=str)


def _read(file: Path) -> dict[str, Any]:
    try:
        content: object = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}
