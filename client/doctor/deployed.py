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
    CERTIFICATE,
    CLUSTER,
    GLOBAL_ADDRESS,
    KNATIVE_SERVING,
    MODEL_EXPORT,
    ROUTE,
    SECRET,
    SERVICE,
    Resource,
    StackState,
)
from client.stacks.tools import list_at, number_at, text_at
from model_export.spec import MODEL_NAME, REST_PORT
from prediction.endpoints import Protocol

KEYS_SECRET = "web-keys"
_WEB, _SERVER = "web", "model-server"
"""The Services of the web service and of the model server. Knative's workers have one more, which
is not the way to the page."""


@dataclass(frozen=True)
class Deployed:
    """Empty or None where the stack has nothing of the kind.

    has_keys: whether it has keys for its web service; has_knative: whether Knative is to run its
    workers. model_uris: the models that pods may be reading, the stack's own first. is_exposed:
    whether a load balancer should lead to the pods; endpoint: its address if it has one, the web
    service's rather than the model server's; protocol: what is spoken there. With a domain that is
    the endpoint; address: what it should lead to in DNS; certificate: its name.
    """

    project: str = ""
    cluster: ClusterName | None = None
    bucket: str = ""
    model_uris: tuple[str, ...] = ()
    model_name: str = MODEL_NAME
    has_keys: bool = False
    has_knative: bool = False
    has_service: bool = False
    is_exposed: bool = False
    endpoint: str = ""
    protocol: Protocol = Protocol.REST
    address: str = ""
    certificate: str = ""

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
    services = [one for one in state.of_type(SERVICE) if one.real_name in (_WEB, _SERVER)]
    services.sort(key=lambda one: one.real_name != _WEB)
    exposed = [one for one in services if text_at(one.inputs, "spec", "type") == "LoadBalancer"]
    endpoint = next((found for one in exposed if (found := _endpoint(one))), "")
    domain = _domain(state)
    has_page = bool(outputs and outputs.page)
    if exposed:
        has_page = exposed[0].real_name == _WEB
    if domain:
        endpoint, has_page = f"https://{domain}", True
    return Deployed(
        project=cluster.project if cluster else state.project,
        cluster=cluster,
        bucket=bucket or (outputs.bucket if outputs else ""),
        model_uris=tuple(dict.fromkeys(filter(None, uris))),
        model_name=outputs.model_name if outputs else MODEL_NAME,
        has_keys=any(one.real_name == KEYS_SECRET for one in state.of_type(SECRET)),
        has_knative=bool(state.of_type(KNATIVE_SERVING)),
        has_service=bool(services),
        is_exposed=bool(exposed or domain),
        endpoint=endpoint or (outputs.endpoint or outputs.model_endpoint if outputs else ""),
        protocol=Protocol.WEB if has_page else Protocol.REST,
        address=_first(state, GLOBAL_ADDRESS, "address") if domain else "",
        certificate=_first(state, CERTIFICATE, "name") if domain else "",
    )


def _cluster(state: StackState, outputs: StackOutputs | None) -> ClusterName | None:
    for cluster in state.of_type(CLUSTER):
        location = text_at(cluster.outputs, "location") or text_at(cluster.inputs, "location")
        project = text_at(cluster.outputs, "project") or state.project
        if location and project and cluster.real_name:
            return ClusterName(project, location, cluster.real_name)
    return cluster_of(outputs.kubeconfig_command) if outputs else None


def _domain(state: StackState) -> str:
    """The name that a route leads from to the web service; empty without one."""
    routes = (one for one in state.of_type(ROUTE) if one.real_name == _WEB)
    return next((text_at(one.inputs, "spec", "hostnames", 0) for one in routes), "")


def _first(state: StackState, type_: str, output: str) -> str:
    return next((text_at(one.outputs, output) for one in state.of_type(type_)), "")


def _endpoint(service: Resource) -> str:
    """The HTTP address of a load balancer; empty as long as it has none."""
    address = text_at(service.outputs, "status", "loadBalancer", "ingress", 0, "ip")
    if address and service.real_name == _WEB:
        return f"http://{address}"
    ports = list_at(service.outputs, "spec", "ports")
    numbers = [number_at(port, "port") for port in ports if text_at(port, "name") == "rest"]
    port = next((number for number in numbers if number), REST_PORT)
    return f"http://{address}:{port:.0f}" if address else ""
