"""Rules for who can reach what."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from policy.gateways import GUARDED_GATEWAY
from policy.resource import Resource, mapping, mappings, texts

_WIDEST_PREFIX_BITS = {4: 8, 6: 32}
_EVERYONE = ("allUsers", "allAuthenticatedUsers")
_INTERNAL_GATEWAY = re.compile(r"internal|rilb")
_INTERNAL_INGRESS = "gce-internal"


def no_open_ranges(resources: Sequence[Resource]) -> list[str]:
    """Source ranges are set, and are not open to everyone."""
    found: list[str] = []
    for one in resources:
        spec = mapping(one.inputs, "spec")
        if one.is_core("Service") and spec.get("type") == "LoadBalancer":
            ranges = texts(spec.get("loadBalancerSourceRanges"))
            if not ranges:
                found.append(f"{one}: has no loadBalancerSourceRanges, so everyone may connect")
            found += _wide(one, ranges)
        if one.is_kubernetes and one.kind == "NetworkPolicy":
            for rule in mappings(spec.get("ingress")):
                peers = mappings(rule.get("from"))
                if not peers:
                    found.append(f"{one}: has an ingress rule that lets in everyone")
                blocks = [mapping(peer, "ipBlock") for peer in peers if "ipBlock" in peer]
                found += _wide(one, [str(block.get("cidr")) for block in blocks])
        if one.type == "gcp:compute/firewall:Firewall" and _lets_in(one):
            found += _wide(one, texts(one.inputs.get("sourceRanges")) or ["0.0.0.0/0"])
    return found


def only_load_balancers_are_exposed(resources: Sequence[Resource]) -> list[str]:
    """Nothing is reachable from outside in a way that has no source ranges."""
    found: list[str] = []
    for one in resources:
        spec = mapping(one.inputs, "spec")
        if one.is_core("Service"):
            if spec.get("type") == "NodePort":
                found.append(f"{one}: is a NodePort, which has no source ranges")
            if texts(spec.get("externalIPs")):
                found.append(f"{one}: has externalIPs, which have no source ranges")
        if one.is_kubernetes and one.kind == "Ingress":
            annotations = mapping(one.inputs, "metadata", "annotations")
            named = spec.get("ingressClassName") or annotations.get("kubernetes.io/ingress.class")
            if named != _INTERNAL_INGRESS:
                found.append(f"{one}: is public; its class must be {_INTERNAL_INGRESS}")
        if one.is_kubernetes and one.kind == "Gateway":
            named = str(spec.get("gatewayClassName"))
            if named != GUARDED_GATEWAY and not _INTERNAL_GATEWAY.search(named):
                found.append(
                    f"{one}: is public; its class must be an internal one, or {GUARDED_GATEWAY}"
                )
    return found


def buckets_are_private(resources: Sequence[Resource]) -> list[str]:
    """No bucket can be made public, and no role is granted to everyone."""
    found: list[str] = []
    for one in resources:
        if one.type == "gcp:storage/bucket:Bucket":
            if one.inputs.get("publicAccessPrevention") != "enforced":
                found.append(f"{one}: publicAccessPrevention is not enforced")
            if one.inputs.get("uniformBucketLevelAccess") is not True:
                found.append(f"{one}: uniformBucketLevelAccess is not on")
        if one.type.startswith("gcp:"):
            found += [f"{one}: is granted to {who}" for who in _EVERYONE if who in _grantees(one)]
    return found


def _grantees(one: Resource) -> list[str]:
    """Who gets a role, as IAM's resources and those of access control lists say it."""
    single = (one.inputs.get(key) for key in ("member", "entity"))
    return [*(str(who) for who in single if who), *texts(one.inputs.get("members"))]


def _lets_in(firewall: Resource) -> bool:
    """Whether the rule allows incoming traffic by its ranges; tags and accounts narrow it, too."""
    inputs = firewall.inputs
    narrowed = inputs.get("sourceTags") or inputs.get("sourceServiceAccounts")
    if narrowed and not inputs.get("sourceRanges"):
        return False
    return inputs.get("direction", "INGRESS") == "INGRESS" and not inputs.get("denies")


def _wide(one: Resource, ranges: Sequence[str]) -> list[str]:
    found: list[str] = []
    for text in ranges:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            found.append(f"{one}: {text} is not an address range")
            continue
        widest = _WIDEST_PREFIX_BITS[network.version]
        if network.prefixlen < widest:
            found.append(f"{one}: {text} is wider than a /{widest}")
    return found
