"""A stack's GKE cluster, and access to its Kubernetes API."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from client.stacks.discovery import StackOutputs
from client.stacks.tools import ToolError, tool_output

PODS = "app.kubernetes.io/name in (model-server, front, worker)"
"""A stack's: of a Deployment, or Knative's front and workers. What belongs to them has the same."""
WEB_PODS = "app.kubernetes.io/name in (model-server, front)"
"""Those behind the Service web: of a Deployment, or the front of Knative's workers."""
_CREDENTIALS = ("gcloud", "container", "clusters", "get-credentials")


@dataclass(frozen=True)
class ClusterName:
    """A cluster in Google Cloud. location is a zone or a region."""

    project: str
    location: str
    name: str

    @property
    def region(self) -> str:
        return "-".join(self.location.split("-")[:2])

    @property
    def credentials_command(self) -> str:
        """What points kubectl at the cluster, to be typed; also the output `kubeconfigCommand`."""
        place = ("--location", self.location, "--project", self.project)
        return shlex.join([*_CREDENTIALS, self.name, *place, "--dns-endpoint"])


def cluster_of(kubeconfig_command: str) -> ClusterName | None:
    """The cluster that a stack's `kubeconfigCommand` names."""
    try:
        words = shlex.split(kubeconfig_command)
    except ValueError:
        return None
    if tuple(words[:4]) != _CREDENTIALS or len(words) < 5 or words[4].startswith("-"):
        return None
    options = dict(pairwise(words))
    location, project = options.get("--location", ""), options.get("--project", "")
    return ClusterName(project, location, words[4]) if location and project else None


@contextmanager
def temporary_kubeconfig() -> Generator[dict[str, str]]:
    """An environment with a temporary kubeconfig, so that the user's own stays unchanged."""
    with tempfile.TemporaryDirectory() as folder:
        yield {**os.environ, "KUBECONFIG": str(Path(folder) / "kubeconfig")}


def get_credentials(cluster: ClusterName, environment: dict[str, str]) -> None:
    """Write the cluster's address and the user's login into the environment's kubeconfig."""
    tool_output([*shlex.split(cluster.credentials_command), "--quiet"], environment)


@contextmanager
def kubeconfig_of(stack: StackOutputs) -> Generator[dict[str, str]]:
    """An environment in which `kubectl` talks to the stack's cluster. Raises ToolError."""
    cluster = cluster_of(stack.kubeconfig_command)
    if cluster is None:
        raise ToolError("the stack's output `kubeconfigCommand` names no cluster")
    with temporary_kubeconfig() as environment:
        get_credentials(cluster, environment)
        yield environment
