"""Which Knative, and which Kubernetes that needs."""

from __future__ import annotations

import re

import pulumi

KNATIVE = "1.23.0"
LEAST_KUBERNETES = "1.34"
"""Every binary of this Knative checks it, and ends where the cluster is older."""
ENVOY = "docker.io/envoyproxy/envoy:v1.37.9"
"""Kourier's proxy, which its own manifests name by a tag that moves (v1.37-latest)."""

_MINOR = re.compile(r"(\d+)\.(\d+)\b")


def require_kubernetes(version: str) -> str:
    """The version. Raises RunError, shown as one line, if it is too old, or is none."""
    found, least = _MINOR.match(version), _MINOR.match(LEAST_KUBERNETES)
    if found is not None and least is not None and _pair(found) >= _pair(least):
        return version
    raise pulumi.RunError(
        f"mode knative needs Kubernetes {LEAST_KUBERNETES} or later for Knative {KNATIVE}, and the "
        f"cluster has {version or 'no version'}: upgrade it (`gcloud container clusters upgrade "
        "NAME --master`), or set mode: deployment"
    )


def _pair(found: re.Match[str]) -> tuple[int, int]:
    return int(found[1]), int(found[2])
