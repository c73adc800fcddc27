"""What a domain needs of Google: an address, a certificate, and who may connect."""

from __future__ import annotations

from typing import Any

import pytest

from render.recorder import Run
from tests.stacks import GKE_STACKS, needs, run_of

KINDS = ("GlobalAddress", "ManagedSslCertificate", "SSLPolicy", "SecurityPolicy")
DOMAIN = "draw.example.com"


@pytest.fixture
def run() -> Run:
    return run_of("dev", domain=DOMAIN, allowedSourceRanges="0.0.0.0/0")


def allowed(rule: dict[str, Any]) -> list[str]:
    assert rule["match"]["versionedExpr"] == "SRC_IPS_V1"
    return rule["match"]["config"]["srcIpRanges"]


@pytest.mark.parametrize("stack", GKE_STACKS)
def test_without_a_domain_none_of_it_exists(stack: str) -> None:
    assert not any(run_of(stack).of(kind) for kind in KINDS)


def test_google_makes_a_certificate_for_the_domain(run: Run) -> None:
    certificate = run.one("ManagedSslCertificate")
    assert certificate.inputs["managed"] == {"domains": [DOMAIN]}
    # A name of its own: the certificate of another domain is made before this one goes.
    assert "name" not in certificate.inputs and not certificate.delete_before_replace


def test_only_the_given_ranges_are_let_in_ten_to_a_rule() -> None:
    ranges = [f"10.0.{number}.0/24" for number in range(21)]
    run = run_of("dev", domain=DOMAIN, allowedSourceRanges=",".join(ranges))
    *yes, no = run.one("SecurityPolicy").inputs["rules"]
    assert {rule["action"] for rule in yes} == {"allow"}
    assert [len(allowed(rule)) for rule in yes] == [10, 10, 1]
    assert [one for rule in yes for one in allowed(rule)] == ranges
    assert (no["action"], no["priority"], allowed(no)) == ("deny(403)", 2147483647, ["*"])
    assert len({rule["priority"] for rule in (*yes, no)}) == 4


def test_everybody_is_let_in_if_that_is_written_down(run: Run) -> None:
    yes, _ = run.one("SecurityPolicy").inputs["rules"]
    assert (yes["action"], allowed(yes)) == ("allow", ["0.0.0.0/0"])


def test_all_of_it_waits_for_the_apis(run: Run) -> None:
    apis = {r.urn for r in run.of("gcp:projects/service:Service")}
    for kind in KINDS:
        assert apis <= needs(run, run.one(kind)), kind


@pytest.mark.parametrize("domain", ["", DOMAIN])
@pytest.mark.parametrize("stack", GKE_STACKS)
def test_the_cluster_always_knows_gateways_so_that_one_can_come_and_go(
    stack: str, domain: str
) -> None:
    cluster = run_of(stack, domain=domain).one("gcp:container/cluster:Cluster").inputs
    assert cluster["gatewayApiConfig"] == {"channel": "CHANNEL_STANDARD"}
    assert cluster["addonsConfig"]["httpLoadBalancing"]["disabled"] is False
