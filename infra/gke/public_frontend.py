"""What a domain needs of Google: an address, a certificate, and who may connect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute

_MOST_RANGES = 10
"""Of a rule (Cloud Armor, "Quotas and limits")."""
_FIRST_PRIORITY = 1000
_LAST_PRIORITY = 2147483647
"""Of the rule for everybody else, which every security policy has."""


@dataclass(frozen=True)
class PublicFrontendArgs:
    """domain: the name in DNS; source_ranges: whom it lets in."""

    domain: str
    source_ranges: Sequence[str]
    after: Sequence[pulumi.Resource]


class PublicFrontend(pulumi.ComponentResource):
    """Of a global load balancer, which Google's controller in the cluster makes of a Gateway.

    The certificate is one of the load balancer's own, not of Certificate Manager: it needs a single
    record in DNS, the address, and no further API. Google makes and renews it once that record is
    there.
    """

    ip: pulumi.Output[str]
    address: pulumi.Output[str]
    """Its name, as the others: the cluster's objects refer to them by their names."""
    certificate: pulumi.Output[str]
    ssl_policy: pulumi.Output[str]
    security_policy: pulumi.Output[str]

    def __init__(
        self, name: str, args: PublicFrontendArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("diffusion:infra:PublicFrontend", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self, depends_on=list(args.after))
        address = compute.GlobalAddress(name, address_type="EXTERNAL", opts=child)
        certificate = compute.ManagedSslCertificate(
            name,
            managed=compute.ManagedSslCertificateManagedArgs(domains=[args.domain]),
            opts=child,
        )
        ssl_policy = compute.SSLPolicy(
            name, profile="MODERN", min_tls_version="TLS_1_2", opts=child
        )
        security_policy = compute.SecurityPolicy(
            name, type="CLOUD_ARMOR", rules=_rules(args.source_ranges), opts=child
        )
        self.ip = address.address
        self.address = address.name
        self.certificate = certificate.name
        self.ssl_policy = ssl_policy.name
        self.security_policy = security_policy.name
        self.register_outputs({"ip": self.ip})


def _rules(source_ranges: Sequence[str]) -> list[compute.SecurityPolicyRuleArgs]:
    starts = range(0, len(source_ranges), _MOST_RANGES)
    allowed = [
        _rule("allow", _FIRST_PRIORITY + place, source_ranges[start : start + _MOST_RANGES])
        for place, start in enumerate(starts)
    ]
    return [*allowed, _rule("deny(403)", _LAST_PRIORITY, ["*"])]


def _rule(action: str, priority: int, ranges: Sequence[str]) -> compute.SecurityPolicyRuleArgs:
    return compute.SecurityPolicyRuleArgs(
        action=action,
        priority=priority,
        match=compute.SecurityPolicyRuleMatchArgs(
            versioned_expr="SRC_IPS_V1",
            config=compute.SecurityPolicyRuleMatchConfigArgs(src_ip_ranges=list(ranges)),
        ),
    )
