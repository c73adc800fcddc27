"""The stack `dev` with a domain: its Gateway and what Google has for it, from `up` to `destroy`."""

from __future__ import annotations

from tests.gke.checks import IN_THE_LAB, assert_nothing_left, assert_unchanged, only
from tests.gke.gateways import UNGUARDED
from tests.gke.lab import Lab
from tests.processes import wait_until

pytestmark = IN_THE_LAB

FRONTEND = ("GlobalAddress", "ManagedSslCertificate", "SSLPolicy", "SecurityPolicy")
MADE_BY_GKE = ("TargetProxy", "BackendService", "NetworkEndpointGroup")


def is_open(dev: Lab) -> bool:
    """Whether the domain leads to the pods, with its own certificate and guard."""
    if any(len(dev.google.resources(kind)) != 1 for kind in (*FRONTEND, *MADE_BY_GKE)):
        return False
    names = {kind: next(iter(dev.google.resources(kind))) for kind in FRONTEND}
    (proxy,) = dev.google.resources("TargetProxy").values()
    (backend,) = dev.google.resources("BackendService").values()
    return backend["securityPolicy"] == names["SecurityPolicy"] and proxy == {
        "kind": "TargetProxy",
        "network": proxy["network"],
        "address": names["GlobalAddress"],
        "certificate": names["ManagedSslCertificate"],
        "sslPolicy": names["SSLPolicy"],
    }


def test_a_domain_comes_changes_and_goes_and_a_destroy_leaves_nothing_of_it(dev: Lab) -> None:
    dev.set(domain="draw.example.com", allowedSourceRanges="203.0.113.7/32")
    dev.up(step="domain")
    wait_until(lambda: is_open(dev), "the way from the domain")
    assert_unchanged(dev.up(step="unchanged"))
    deployment = only(dev.get("apps/v1/deployments"))["metadata"]["generation"]

    (old,) = dev.google.resources("ManagedSslCertificate")
    dev.google.order("delete", "ManagedSslCertificate", "in use")
    dev.set(domain="paint.example.com")
    dev.up(step="another domain")
    wait_until(lambda: is_open(dev), "the way from the other domain")
    assert old not in dev.google.resources("ManagedSslCertificate")

    dev.set(domain="")
    dev.up(step="closed")
    assert not any(dev.google.resources(kind) for kind in FRONTEND)
    wait_until(lambda: not any(dev.google.resources(kind) for kind in MADE_BY_GKE), "a closed door")
    assert only(dev.get("apps/v1/deployments"))["metadata"]["generation"] == deployment

    dev.set(domain="draw.example.com")
    dev.up(step="opened again")
    wait_until(lambda: is_open(dev), "the way from the domain")
    dev.down()
    assert_nothing_left(dev)
    assert UNGUARDED not in dev.google.calls()
