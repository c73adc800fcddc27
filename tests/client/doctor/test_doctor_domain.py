"""`doctor` on a cluster with a domain: DNS, the certificate, and what answers there."""

from __future__ import annotations

import pytest

from client.doctor.deployed import deployed
from client.stacks import domain, state
from prediction.endpoints import Protocol
from tests.client import stub_tools
from tests.client.commands import CommandLine
from tests.client.doctor.findings import findings, one
from tests.client.stub_tools import StubTools

NAME = "diffusion-web-1a2b3c4"
ASKED = f"compute ssl-certificates describe {NAME} --global"


def resources() -> list[dict[str, object]]:
    spec = {"hostnames": ["draw.example.com"]}
    inputs = {"metadata": {"name": "web"}, "spec": spec}
    address, certificate = {"name": NAME, "address": "203.0.113.7"}, {"name": NAME}
    return [
        *stub_tools.made_up_to("Deployment"),
        stub_tools.kubernetes("kubernetes:core/v1:Service", "web"),
        stub_tools.resource(state.GLOBAL_ADDRESS, "web", outputs=address),
        stub_tools.resource(state.CERTIFICATE, "web", outputs=certificate),
        stub_tools.kubernetes(state.ROUTE, "web", inputs=inputs),
    ]


@pytest.fixture
def with_domain(tools: StubTools, monkeypatch: pytest.MonkeyPatch) -> StubTools:
    """A stack with a domain, to which DNS leads."""
    tools.answer("pulumi", "stack export --stack dev", stub_tools.export(resources()))
    monkeypatch.setattr(domain, "_addresses", lambda _name: {"203.0.113.7"})
    return tools


def certificate(status: str, domain_status: str = "") -> dict[str, object]:
    return {"managed": {"status": status, "domainStatus": {"draw.example.com": domain_status}}}


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (certificate("ACTIVE", "ACTIVE"), "ok", "its certificate is ACTIVE"),
        (certificate("PROVISIONING", "PROVISIONING"), "wait", "takes up to 60 minutes once DNS"),
        (certificate("PROVISIONING", "FAILED_NOT_VISIBLE"), "wait", "(FAILED_NOT_VISIBLE)"),
        (certificate("PROVISIONING", "FAILED_CAA_FORBIDDEN"), "wrong", "no CAA record forbids"),
        (certificate("RENEWAL_FAILED", "FAILED_CAA_CHECKING"), "wrong", "no CAA record forbids"),
        ({}, "wrong", "its certificate is of an unknown state"),
    ],
)
def test_the_certificates_state_is_told_with_what_to_do(
    run: CommandLine, with_domain: StubTools, found: dict[str, object], state: str, says: str
) -> None:
    with_domain.answer("gcloud", ASKED, found)
    said, message = one(run("doctor", "--stack", "dev"), "domain")
    assert (said, says in message) == (state, True), message


@pytest.mark.parametrize(("status", "code"), [("PROVISIONING", 5), ("RENEWAL_FAILED", 4)])
def test_the_service_is_not_asked_at_a_domain_that_does_not_lead_to_it_yet(
    run: CommandLine, with_domain: StubTools, status: str, code: int
) -> None:
    with_domain.answer("gcloud", ASKED, certificate(status, status))
    ran = run("doctor", "--stack", "dev")
    assert one(ran, "service") == (
        "wait",
        "nobody reaches https://draw.example.com before that is ok",
    )
    assert ran.code == code


def test_a_missing_record_in_dns_comes_first(
    run: CommandLine, with_domain: StubTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "_addresses", lambda _name: set())
    state, message = one(run("doctor", "--stack", "dev"), "domain")
    assert state == "wrong"
    assert message.endswith("in your DNS, give draw.example.com an A record with 203.0.113.7")
    assert not any(ASKED in line for line in with_domain.asked)


def test_a_certificate_that_cannot_be_read_is_unknown(
    run: CommandLine, with_domain: StubTools
) -> None:
    with_domain.fails("gcloud", ASKED, "ERROR: (gcloud) 403: no permission")
    state, message = one(run("doctor", "--stack", "dev"), "domain")
    assert (state, "run `gcloud auth login`" in message) == ("unknown", True)


def test_without_a_domain_there_is_no_such_check(run: CommandLine, tools: StubTools) -> None:
    assert findings(run("doctor", "--stack", "dev"), "domain") == []


def test_the_web_service_is_asked_at_the_domain_even_after_an_up_that_failed() -> None:
    made = tuple(state._resource(one) for one in resources())
    found = deployed(state.StackState(made), None)
    assert (found.endpoint, found.protocol) == ("https://draw.example.com", Protocol.WEB)
    assert (found.address, found.certificate, found.is_exposed) == ("203.0.113.7", NAME, True)
