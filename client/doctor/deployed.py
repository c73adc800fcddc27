"""What is known of a stack on GKE, from its state and its outputs.

The state knows more: it has what a failed `up` made, and its newest values. Outputs are those of
the last `up` that succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass

from client.stacks.cluster import ClusterName, cluster_of
from client.stacks.discovery import StackOutputs
from client.stacks.state import (
    BUCKET,
    CLUSTER,
    MODEL_EXPORT,
    SERVICE,
    Resource,
    StackState,
)
from client.stacks.tools import list_at, number_at, text_at
from model_export.spec import MODEL_NAME, REST_PORT


@dataclass(frozen=True)
class Deployed:
    """Empty or None where the stack has nothing of the kind.

    model_uris: the models that pods may be reading, the stack's own first. is_exposed: whether a
    load balancer should lead to the pods; endpoint: its REST address, if it has one.
    """

    project: str = ""
    cluster: ClusterName | None = None
    bucket: str = ""
    model_uris: tuple[str, ...] = ()
    model_name: str = MODEL_NAME
    has_service: bool = False
    is_exposed: bool = False
    endpoint: str = ""

    @property
    def fingerprint(self) -> str:
        """The stack's model; a model's folder is named by its fingerprint."""
        return fingerprint_of(self.model_uris[0]) if self.model_uris else ""


def fingerprint_of(model_path: str) -> str:
    """The fingerprint of a model at a URI, or at a path in the bucket's mount."""
    return model_path.rstrip("/").rpartition("/")[2]


def deployed(state: StackState, outputs: StackOutputs | None) -> Deployed:
    cluster = _cluster(state, outputs)
    bucket = next((bucket.real_name for bucket in state.of_type(BUCKET)), "")
    uris = [text_at(model.outputs, "uri") for model in state.of_type(MODEL_EXPORT)]
    if outputs is not None:
        uris.append(outputs.model_uri)
    service = next(iter(state.of_type(SERVICE)), None)
    is_exposed = service is not None and text_at(service.inputs, "spec", "type") == "LoadBalancer"
    endpoint = _endpoint(service) if service is not None and is_exposed else ""
    return Deployed(
        project=cluster.project if cluster else state.project,
        cluster=cluster,
        bucket=bucket or (outputs.bucket if outputs else ""),
        model_uris=tuple(dict.fromkeys(filter(None, uris))),
        model_name=outputs.model_name if outputs else MODEL_NAME,
        has_service=service is not None,
        is_exposed=is_exposed,
        endpoint=endpoint or (outputs.endpoint if outputs else ""),
    )


def _cluster(state: StackState, outputs: StackOutputs | None) -> ClusterName | None:
    for cluster in state.of_type(CLUSTER):
        location = text_at(cluster.outputs, "location") or text_at(cluster.inputs, "location")
        project = text_at(cluster.outputs, "project") or state.project
        if location and project and cluster.real_name:
            return ClusterName(project, location, cluster.real_name)
    return cluster_of(outputs.kubeconfig_command) if outputs else None


def _endpoint(service: Resource) -> str:
    """The REST address of a load balancer; empty as long as it has none."""
    address = text_at(service.outputs, "status", "loadBalancer", "ingress", 0, "ip")
    ports = list_at(service.outputs, "spec", "ports")
    numbers = [number_at(port, "port") for port in ports if text_at(port, "name") == "rest"]
    port = next((number for number in numbers if number), REST_PORT)
    return f"http://{address}:{port:.0f}" if address else ""
