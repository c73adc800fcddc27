"""Kubernetes manifests from recorded resources, as `kubectl apply` takes them."""

from __future__ import annotations

from typing import Any

import yaml

from render.recorder import Registered

_GROUP_OF_CORE = "core"


def manifest(resource: Registered) -> dict[str, Any]:
    """The object that the provider would send, with its name filled in."""
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
    return _whole(document)


def file_name(document: dict[str, Any]) -> str:
    return f"{document['kind'].lower()}.yaml"


def to_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)


def _whole(value: Any) -> Any:
    """Numbers come as floats through Pulumi's protocol; Kubernetes' own are whole."""
    if isinstance(value, dict):
        return {k: _whole(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_whole(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that scripts and configuration can be read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)
