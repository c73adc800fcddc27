"""The check of a domain's certificate, which Google makes once DNS leads to the load balancer."""

from __future__ import annotations

from typing import cast

from client.doctor.finding import Finding, State
from client.stacks.domain import CERTIFICATE_MINUTES
from client.stacks.tools import at, text_at

_ACTIVE = "ACTIVE"
_IN_PROGRESS = "PROVISIONING"
_MAY_PASS = (_IN_PROGRESS, "FAILED_NOT_VISIBLE", _ACTIVE)
"""States of a domain: Google tries again if it did not see it."""


def certificate_finding(certificate: object) -> Finding:
    """certificate: what `gcloud compute ssl-certificates describe` prints."""
    state, domains = text_at(certificate, "managed", "status"), _states(certificate)
    said = f"its certificate is {state or 'of an unknown state'}"
    if state == _ACTIVE:
        return Finding("domain", State.OK, f"DNS leads to the load balancer, {said}")
    if domains and domains != [state]:
        said += f" ({', '.join(domains)})"
    if state == _IN_PROGRESS and all(one in _MAY_PASS for one in domains):
        patience = f"Google takes up to {CERTIFICATE_MINUTES} minutes once DNS leads to it"
        return Finding("domain", State.WAIT, f"{said}: {patience}")
    remedy = "check in DNS that no CAA record forbids pki.goog, and no AAAA record leads elsewhere"
    return Finding("domain", State.WRONG, f"{said}: {remedy}")


def _states(certificate: object) -> list[str]:
    found = at(certificate, "managed", "domainStatus")
    domains = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    return [text_at(domains, domain) for domain in domains]
