"""The machine that the engine runs on: its PATH, its credentials, its backend."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.deploy.checkout import ROOT
from tests.gke.artifact_registry import ArtifactRegistry
from tests.gke.control_plane import ControlPlane
from tests.gke.google_cloud import GoogleCloud


def environment(
    folder: Path,
    plane: ControlPlane,
    google: GoogleCloud,
    storage_url: str,
    registry: ArtifactRegistry,
    credentials: dict[str, Any],
) -> dict[str, str]:
    """The environment for commands; `folder` gets what it names."""
    programs, backend = folder / "bin", folder / "backend"
    for path in (programs, backend):
        path.mkdir()
    _program(programs / "gke-gcloud-auth-plugin", _auth_plugin(google, plane.token))
    plugin = f"{sys.executable} -m tests.gke.gcp_plugin {google.folder}"
    _program(programs / "pulumi-resource-gcp", f"PYTHONPATH={ROOT} exec {plugin}")
    (folder / "credentials.json").write_text(json.dumps(credentials))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PULUMI_", "GOOGLE_"))}
    return {
        **kept,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SSL_CERT_FILE": str(plane.ca_file),
        "REQUESTS_CA_BUNDLE": str(plane.ca_file),
        "HTTPS_PROXY": registry.proxy,
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "credentials.json"),
        "STORAGE_EMULATOR_HOST": storage_url,
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def _auth_plugin(google: GoogleCloud, token: str) -> str:
    """A token as long as there is a cluster: without one, nothing answers at its endpoint."""
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "status": {"token": token},
    }
    return (
        f"grep -q '\"kind\": \"Cluster\"' {google.file} || exit 1\necho '{json.dumps(credential)}'"
    )


def _program(path: Path, lines: str) -> None:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
