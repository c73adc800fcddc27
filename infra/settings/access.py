"""The settings of who reaches the web service and the model server on GKE."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from infra.settings.values import SettingsError, boolean, choice, required

Api = Literal["grpc", "rest"]

RANGES = "allowedSourceRanges"
DOMAIN = "domain"
OPENING = ("exposeModelServer", "allowPlainHttp", DOMAIN)
"""Settings that let in clients from outside the cluster."""
CLOSED = ("false", "")
"""Their values that let in nobody."""
KEYS = frozenset({*OPENING, RANGES, "internal", "loadBalancerAddress"})

EPHEMERAL = "ephemeral"
STATIC = "static"
"""Kinds of `loadBalancerAddress`; any other value is the name of the user's own address."""
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
WIDEST_PREFIX_BITS = 8
"""No private network is wider than a /8."""
_LONGEST_DOMAIN = 253
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])")
_EXPOSED: dict[str, tuple[Api, ...]] = {"true": ("grpc", "rest"), "rest": ("rest",), "false": ()}
_ADDRESS_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class AccessSettings:
    """Who reaches the servers from outside the cluster; nobody if nothing is open.

    exposed: the model server's APIs with a load balancer; plain_http: whether the web service has
    one, without TLS; domain: its name in DNS if it is open over TLS, else empty; source_ranges: the
    clients' IPv4 ranges; address: of load balancers without TLS, `ephemeral`, `static`, or the name
    of the user's own.
    """

    exposed: tuple[Api, ...]
    plain_http: bool
    domain: str
    source_ranges: tuple[str, ...]
    internal: bool
    address: str


def parse(values: Mapping[str, str]) -> AccessSettings:
    """The settings from configuration values. Raises SettingsError for the first invalid one."""
    exposed = _EXPOSED[choice(values, "exposeModelServer", tuple(_EXPOSED))]
    plain_http = boolean(values, "allowPlainHttp")
    internal = boolean(values, "internal")
    address = required(values, "loadBalancerAddress", EPHEMERAL)
    if not _ADDRESS_NAME.fullmatch(address):
        raise SettingsError(
            "loadBalancerAddress",
            f"must be {EPHEMERAL}, {STATIC}, or the name of an address that you reserved, not "
            f"{address!r}",
            EPHEMERAL,
        )
    if exposed and plain_http and address != EPHEMERAL:
        raise SettingsError(
            "loadBalancerAddress",
            "is one address, but exposeModelServer and allowPlainHttp make two load balancers",
            EPHEMERAL,
        )
    domain = _domain(values, plain_http=plain_http, internal=internal)
    without_tls = bool(exposed) or plain_http
    return AccessSettings(
        exposed=exposed,
        plain_http=plain_http,
        domain=domain,
        source_ranges=(
            _source_ranges(values, internal=internal, without_tls=without_tls)
            if domain or without_tls
            else ()
        ),
        internal=internal,
        address=address,
    )


def is_open(values: Mapping[str, str]) -> bool:
    """Whether the values let in clients from outside the cluster."""
    return any(values.get(key, "") not in CLOSED for key in OPENING)


def _domain(values: Mapping[str, str], *, plain_http: bool, internal: bool) -> str:
    domain = required(values, DOMAIN, '""')
    if not domain:
        return ""
    if len(domain) > _LONGEST_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise SettingsError(
            DOMAIN,
            "must be the full name of a host in your DNS, in lower-case letters, digits, hyphens "
            f"and periods, not {domain!r}",
            "draw.example.com",
        )
    if plain_http:
        raise SettingsError(
            DOMAIN, "opens the web service over TLS, and allowPlainHttp without: set one", '""'
        )
    if internal:
        raise SettingsError(
            DOMAIN, "has a public address, but internal asks for one in the VPC: set one", '""'
        )
    return domain


def _source_ranges(
    values: Mapping[str, str], *, internal: bool, without_tls: bool
) -> tuple[str, ...]:
    """The ranges, which may be of any width only where keys cannot be read on their way."""
    key = RANGES
    example = "203.0.113.7/32"
    texts = required(values, key, example).replace(",", " ").split()
    if not texts and internal:
        return PRIVATE_RANGES
    if not texts:
        or_inside = " (or set internal to true)" if without_tls else ""
        raise SettingsError(
            key,
            f"is empty: list who may connect as comma-separated IPv4 ranges{or_inside}",
            example,
        )
    for text in texts:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            problem = f"{text!r} is not an address range{_meant(text)}"
            raise SettingsError(key, problem, example) from None
        if network.version != 4:
            raise SettingsError(key, f"{text} is not IPv4, the load balancer's only kind", example)
        if without_tls and network.prefixlen < WIDEST_PREFIX_BITS:
            raise SettingsError(
                key,
                f"{text} is too wide: what is open is without TLS, so no range may be wider than "
                f"a /{WIDEST_PREFIX_BITS}",
                example,
            )
    return tuple(dict.fromkeys(str(ipaddress.ip_network(text)) for text in texts))


def _meant(text: str) -> str:
    """What may be meant by an address inside of a range, such as 203.0.113.7/24."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ""
    address = text.partition("/")[0]
    return f" (the range is {network}, the address alone {address}/{network.max_prefixlen})"
