"""The cluster's VPC: one subnetwork, and NAT for the private nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute

NODE_RANGE = "10.0.0.0/20"
POD_RANGE = "10.4.0.0/16"
SERVICE_RANGE = "10.8.0.0/20"
POD_RANGE_NAME = "pods"
SERVICE_RANGE_NAME = "services"


@dataclass(frozen=True)
class NetworkArgs:
    """region: of the subnetwork and its NAT."""

    region: pulumi.Input[str]
    after: Sequence[pulumi.Resource]


class Network(pulumi.ComponentResource):
    """A VPC with secondary ranges for pods and services, and NAT for outgoing traffic."""

    network_id: pulumi.Output[str]
    subnetwork_id: pulumi.Output[str]
    nat: compute.RouterNat
    """Nodes need it to pull images, so it must outlive them."""

    def __init__(
        self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:Network", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        network = compute.Network(
            name,
            auto_create_subnetworks=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        subnetwork = compute.Subnetwork(
            name,
            network=network.id,
            region=args.region,
            ip_cidr_range=NODE_RANGE,
            private_ip_google_access=True,
            secondary_ip_ranges=[
                compute.SubnetworkSecondaryIpRangeArgs(
                    range_name=POD_RANGE_NAME, ip_cidr_range=POD_RANGE
                ),
                compute.SubnetworkSecondaryIpRangeArgs(
                    range_name=SERVICE_RANGE_NAME, ip_cidr_range=SERVICE_RANGE
                ),
            ],
            opts=pulumi.ResourceOptions(
                parent=self,
                # Two subnetworks of one network cannot have the same range.
                delete_before_replace=True,
            ),
        )
        router = compute.Router(name, network=network.id, region=args.region, opts=child)
        self.nat = compute.RouterNat(
            name,
            router=router.name,
            region=args.region,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
            log_config=compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
            opts=pulumi.ResourceOptions(parent=self, deleted_with=router),
        )
        self.network_id = network.id
        self.subnetwork_id = subnetwork.id
        self.register_outputs({"networkId": network.id, "subnetworkId": subnetwork.id})
