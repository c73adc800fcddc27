"""A stack's domain: whether DNS leads from it to the service."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

CERTIFICATE_MINUTES = 60
"""How long Google usually takes at most for a certificate, once DNS leads to it."""


def dns_problem(endpoint: str, address: str) -> str:
    """What is missing in DNS for the domain of `endpoint` to lead to `address`; empty if nothing
    is."""
    domain = urlsplit(endpoint).hostname or ""
    record = f"in your DNS, give {domain} an A record with {address}"
    found = _addresses(domain)
    if not found:
        return f"{domain} has no address: {record}"
    if found != {address}:
        return f"{domain} leads to {', '.join(sorted(found))}: {record}, and no other"
    return ""


def _addresses(domain: str) -> set[str]:
    try:
        found = socket.getaddrinfo(domain, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[0]) for *_, address in found}
