"""The web service's keys: hashes in a Secret, which its container reads again when they change."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import core, meta

from infra.settings.keys import ApiKey
from serving.names import LABELS

NAME = "web-keys"
"""Fixed: pods go on with changed keys, so that another name would replace them for nothing."""
_FOLDER = "/etc/web-keys"
_FILE = "keys.json"
KEYS_FILE = f"{_FOLDER}/{_FILE}"
_READ_BY_GROUP = 0o440


def keys_secret(
    name: str,
    *,
    namespace: pulumi.Input[str],
    keys: Sequence[ApiKey],
    opts: pulumi.ResourceOptions,
    secret_name: str = NAME,
) -> core.v1.Secret:
    """The Secret. The kubelet brings a change to the pods within about a minute."""
    files = {_FILE: keys_file(keys)}
    return secret_files(name, secret_name, namespace=namespace, files=files, opts=opts)


def secret_files(
    name: str,
    secret_name: str,
    *,
    namespace: pulumi.Input[str],
    files: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> core.v1.Secret:
    """A Secret with these texts, by their files' names."""
    return core.v1.Secret(
        f"{name}-{secret_name}",
        metadata=meta.v1.ObjectMetaArgs(name=secret_name, namespace=namespace, labels=LABELS),
        data={
            file: pulumi.Output.secret(base64.b64encode(text.encode()).decode())
            for file, text in files.items()
        },
        opts=opts,
    )


def keys_file(keys: Sequence[ApiKey]) -> str:
    """The file's text, the same for the same keys."""
    entries = [{"name": key.name, "sha256": key.sha256} for key in keys]
    return json.dumps({"keys": sorted(entries, key=lambda entry: entry["name"])})


def keys_volume(secret_name: str = NAME) -> core.v1.VolumeArgs:
    return secret_volume(NAME, secret_name)


def secret_volume(name: str, secret_name: str) -> core.v1.VolumeArgs:
    return core.v1.VolumeArgs(
        name=name,
        secret=core.v1.SecretVolumeSourceArgs(secret_name=secret_name, default_mode=_READ_BY_GROUP),
    )


def keys_mount() -> core.v1.VolumeMountArgs:
    """The folder: a file mounted alone would never change."""
    return core.v1.VolumeMountArgs(name=NAME, mount_path=_FOLDER, read_only=True)
