"""The load balancer's address: reserved by the stack, or one that the user owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute


@dataclass(frozen=True)
class StaticAddressArgs:
    """owned: the name of the user's own regional address; empty to reserve one.

    subnetwork_id: of an internal address; None for a public one.
    """

    project: str
    region: pulumi.Input[str]
    owned: str
    subnetwork_id: pulumi.Input[str] | None
    after: Sequence[pulumi.Resource]


class StaticAddress(pulumi.ComponentResource):
    """A regional IPv4 address that survives a replacement of the load balancer."""

    ip: pulumi.Output[str]

    def __init__(
        self, name: str, args: StaticAddressArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:StaticAddress", name, {}, opts)
        if args.owned:
            found = compute.get_address_output(
                name=args.owned,
                region=args.region,
                project=args.project,
                opts=pulumi.InvokeOutputOptions(parent=self, depends_on=list(args.after)),
            )
            self.ip = found.address
        else:
            internal = args.subnetwork_id is not None
            reserved = compute.Address(
                name,
                region=args.region,
                address_type="INTERNAL" if internal else "EXTERNAL",
                subnetwork=args.subnetwork_id,
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
            )
            self.ip = reserved.address
        self.register_outputs({"ip": self.ip})
