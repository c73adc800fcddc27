"""The image's config and manifest: the base's, with one layer more and our way to run it."""

from __future__ import annotations

import json
from typing import Any

from container_image.base import Base, Document
from container_image.blob import Blob
from container_image.layer import Layer
from container_image.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from container_image.settings import RUN

IDENTITY_LABEL = "diffusion-serving.identity"
_CREATED = "1970-01-01T00:00:00Z"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_INHERITED = ("Cmd", "Healthcheck", "Volumes", "OnBuild")


def config(base: Base, layer: Layer, identity: str) -> Blob:
    """identity: images of different ones differ, so that one can be deleted without the other."""
    inherited: Document = base.config.get("config") or {}
    run: Document = {
        **{key: value for key, value in inherited.items() if key not in _NOT_INHERITED},
        **RUN,
        "Env": _environment(inherited.get("Env") or []),
        "Labels": {**(inherited.get("Labels") or {}), IDENTITY_LABEL: identity},
    }
    document: Document = {
        "architecture": base.config["architecture"],
        "os": base.config["os"],
        "created": _CREATED,
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [*_diff_ids(base), layer.diff_id]},
    }
    if history := base.config.get("history"):
        step = {"created": _CREATED, "created_by": "the web service of diffusion-serving"}
        document["history"] = [*history, step]
    return _blob(document)


def manifest(base: Base, layer: Layer, config_blob: Blob) -> bytes:
    layers = [*base.layers, (layer.blob, OCI_LAYER)]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(config_blob, OCI_CONFIG),
        "layers": [_descriptor(blob, media_type) for blob, media_type in layers],
    }
    return _json(document)


def _environment(inherited: list[str]) -> list[str]:
    """Ours wins; without a PATH no container would find Python."""
    named = {line.partition("=")[0]: line for line in [_PATH, *inherited, *RUN["Env"]]}
    return list(named.values())


def _diff_ids(base: Base) -> list[str]:
    return list(base.config["rootfs"]["diff_ids"])


def _descriptor(blob: Blob, media_type: str) -> Document:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def _blob(document: Document) -> Blob:
    return Blob.of_bytes(_json(document))


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
