"""Whether DNS leads from a stack's domain to its load balancer."""

from __future__ import annotations

import socket

import pytest

from client.stacks.domain import dns_problem

ENDPOINT = "https://draw.example.com"


def resolved(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """The addresses that DNS has for the domain; none is an error of the resolver."""

    def answer(host: str, *_: object) -> list[tuple[object, ...]]:
        assert host == "draw.example.com"
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_domain_that_leads_to_the_address_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(monkeypatch, "203.0.113.7")
    assert dns_problem(ENDPOINT, "203.0.113.7") == ""


def test_a_domain_without_a_record_is_told_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(monkeypatch)
    record = "in your DNS, give draw.example.com an A record with 203.0.113.7"
    assert dns_problem(ENDPOINT, "203.0.113.7") == f"draw.example.com has no address: {record}"


@pytest.mark.parametrize("found", [("198.51.100.1",), ("198.51.100.1", "203.0.113.7")])
def test_a_domain_that_leads_elsewhere_too_is_said(
    monkeypatch: pytest.MonkeyPatch, found: tuple[str, ...]
) -> None:
    resolved(monkeypatch, *found)
    problem = dns_problem(ENDPOINT, "203.0.113.7")
    assert problem.startswith(f"draw.example.com leads to {', '.join(found)}: in your DNS, give ")
    assert problem.endswith("an A record with 203.0.113.7, and no other")
