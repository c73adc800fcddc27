"""Kubernetes manifests of recorded resources, for `kubectl apply`."""

from __future__ import annotations

from typing import Any

import yaml

from render.recorder import Registered

_GROUP_OF_CORE = "core"


def manifest(resource: Registered) -> dict[str, Any]:
    """The object that the provider would send, including its name."""
    _, group_version, kind = resource.type.split(":")
    group, _, version = group_version.rpartition("/")
    inputs = {k: v for k, v in resource.inputs.items() if k not in ("apiVersion", "kind")}
    own = resource.outputs["metadata"]["name"]
    metadata = {"name": own, **inputs.pop("metadata", {})}
    document = {
        "apiVersion": version if group in ("", _GROUP_OF_CORE) else f"{group}/{version}",
        "kind": kind,
        "metadata": metadata,
        **inputs,
    }
    return _with_integers(document)


def file_name(document: dict[str, Any]) -> str:
    return f"{document['kind'].lower()}.yaml"


def to_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)


def _with_integers(value: Any) -> Any:
    """Pulumi's protocol turns numbers into floats; Kubernetes has integers."""
    if isinstance(value, dict):
        return {k: _with_integers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_integers(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Dumper(yaml.SafeDumper):
    """Writes multi-line strings as blocks, so that scripts and config files stay readable."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)
