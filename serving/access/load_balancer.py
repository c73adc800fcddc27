"""The Services in front of the pods: the web service's, and the model server's. Each has a load
balancer if it is open to clients outside the cluster; the web service can have a domain instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import meta, networking

from infra.settings.access import Api
from serving.access.balanced import BalancedService, LoadBalancer, Ports
from serving.access.gateway import (
    LOAD_BALANCER_RANGES,
    Frontend,
    PublicGateway,
    PublicGatewayArgs,
)
from serving.access.network_policy import network_policy_spec
from serving.names import NAME, PORTS, WEB

_HTTP = {WEB: 80}


@dataclass(frozen=True)
class Exposure:
    """What clients outside the cluster reach, from these ranges: these APIs of the model server,
    and with plain_http or a frontend the web service.

    address: the load balancer's, if it has one of its own.
    """

    apis: Sequence[Api]
    plain_http: bool
    frontend: Frontend | None
    source_ranges: Sequence[str]
    internal: bool
    address: pulumi.Input[str] | None


@dataclass(frozen=True)
class PodsBehind:
    """name: of what belongs to them; labels: theirs; egress: where they may connect to.

    has_model_server: whether there is one in each of them, which gets a Service too.
    """

    name: str
    labels: Mapping[str, str]
    egress: Sequence[networking.v1.NetworkPolicyEgressRuleArgs]
    has_model_server: bool


@dataclass(frozen=True)
class AccessArgs:
    """after: the pods behind the Services. cluster: with which the network policy is deleted."""

    namespace: pulumi.Input[str]
    pods: PodsBehind
    exposure: Exposure
    request_timeout_seconds: int
    after: Sequence[pulumi.Resource]
    cluster: pulumi.Resource


class Access(pulumi.ComponentResource):
    """A Service or two, a network policy, and with a frontend a Gateway.

    What is open is open to the given ranges only: the model server asks nobody who they are, and
    over plain HTTP the web service's keys could be read on their way.
    """

    web_service: pulumi.Output[str]
    """The ID of the web service's Service, which is there once the pods serve."""
    endpoint: pulumi.Output[str] | None
    """URL of the web service; None if it is private."""
    address: pulumi.Output[str] | None
    """The model server's load balancer's; None if there is none."""

    def __init__(
        self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:serving:Access", name, {}, opts)
        exposure = args.exposure
        frontend = exposure.frontend
        web_ranges = exposure.source_ranges if exposure.plain_http else ()
        policy = networking.v1.NetworkPolicy(
            name,
            metadata=meta.v1.ObjectMetaArgs(name=args.pods.name, namespace=args.namespace),
            spec=network_policy_spec(
                exposure.apis,
                exposure.source_ranges,
                # Who connects to the pods is the load balancer, which checks whom it lets in.
                LOAD_BALANCER_RANGES if frontend else web_ranges,
                labels=args.pods.labels,
                egress=args.pods.egress,
            ),
            opts=pulumi.ResourceOptions(parent=self, deleted_with=args.cluster),
        )
        of_web = Ports(balanced=_HTTP if exposure.plain_http else {}, in_cluster=_HTTP)
        web = self._service(f"{name}-{WEB}", WEB, of_web, args)
        self.web_service = web.resource.id
        self.endpoint = web.address and pulumi.Output.concat("http://", web.address)
        self.address = None
        if args.pods.has_model_server:
            exposed = {api: PORTS[api] for api in exposure.apis}
            of_server = Ports(balanced=exposed, in_cluster=PORTS)
            self.address = self._service(name, NAME, of_server, args).address
        if frontend is not None:
            self.endpoint = pulumi.Output.from_input(f"https://{frontend.domain}")
            PublicGateway(
                name,
                PublicGatewayArgs(
                    namespace=args.namespace,
                    frontend=frontend,
                    request_timeout_seconds=args.request_timeout_seconds,
                    after=[web.resource, policy],
                ),
                pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})

    def _service(
        self, resource_name: str, name: str, ports: Ports, args: AccessArgs
    ) -> BalancedService:
        exposure = args.exposure
        return BalancedService(
            resource_name,
            name,
            namespace=args.namespace,
            ports=ports,
            load_balancer=LoadBalancer(exposure.source_ranges, exposure.internal, exposure.address),
            labels=args.pods.labels,
            is_sticky=name == WEB,  # a pod knows its own jobs only
            after=args.after,
            parent=self,
        )
