"""Kubernetes manifests of recorded resources, for `kubectl apply`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from render.recorder import Registered

WRITTEN_BY = "# Written by make render, which replaces this file.\n"
_NAMESPACE_FOLDER = "namespace"
_FOLDER = "kubernetes"


def is_object(resource: Registered) -> bool:
    """Whether it is an object of Kubernetes: charts and lists of files, for example, are not."""
    is_typed = {"apiVersion", "kind"} <= set(resource.inputs)
    return resource.custom and is_typed and resource.type.startswith("kubernetes:")


def manifest(resource: Registered) -> dict[str, Any]:
    """The object that the provider would send, including its name."""
    inputs = dict(resource.inputs)
    document = {
        "apiVersion": inputs.pop("apiVersion"),
        "kind": inputs.pop("kind"),
        "metadata": {
            "name": resource.outputs["metadata"]["name"],
            **(inputs.pop("metadata", None) or {}),
        },
        **inputs,
    }
    return _with_integers(document)


def write(documents: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Write a file for each object, in place of those that an earlier call wrote here.

    The namespace has its own folder: a server-side dry run of the rest needs it to exist.
    """
    for file in _manifests(folder):
        if _is_ours(file):
            file.unlink()
    written: list[Path] = []
    for document, name in zip(documents, file_names(documents), strict=True):
        subfolder = folder / (_NAMESPACE_FOLDER if document["kind"] == "Namespace" else _FOLDER)
        subfolder.mkdir(parents=True, exist_ok=True)
        file = subfolder / name
        file.write_text(WRITTEN_BY + to_yaml(document), encoding="utf-8")
        written.append(file)
    return written


def of_others(folder: Path) -> list[Path]:
    """The manifests in the folder that `write` has not written; `kubectl apply` reads them, too."""
    return [file for file in _manifests(folder) if not _is_ours(file)]


def file_names(documents: Sequence[dict[str, Any]]) -> list[str]:
    """By kind and name, such as `deployment-model-server.yaml`.

    Where two objects share those, also by API group and namespace.
    """
    short = [f"{_kind(one)}-{one['metadata']['name']}.yaml" for one in documents]
    times = Counter(short)
    return [
        name if times[name] == 1 else _long_name(one)
        for name, one in zip(short, documents, strict=True)
    ]


def to_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)


def _with_integers(value: Any) -> Any:
    """Pulumi's protocol turns numbers into floats; Kubernetes has integers."""
    if isinstance(value, dict):
        return {k: _with_integers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_integers(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _manifests(folder: Path) -> list[Path]:
    subfolders = (folder / _NAMESPACE_FOLDER, folder / _FOLDER)
    return sorted(file for one in subfolders for file in one.glob("*.yaml"))


def _kind(document: dict[str, Any]) -> str:
    return str(document["kind"]).lower()


def _long_name(document: dict[str, Any]) -> str:
    group = str(document["apiVersion"]).rpartition("/")[0] or "core"
    namespace = document["metadata"].get("namespace", "default")
    return f"{_kind(document)}.{group}-{namespace}-{document['metadata']['name']}.yaml"


def _is_ours(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as text:
        return text.readline() == WRITTEN_BY


class _Dumper(yaml.SafeDumper):
    """Writes multi-line strings as blocks, so that scripts and config files stay readable."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)
