"""The settings of who reaches the model server on GKE."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from infra.settings.values import SettingsError, boolean, choice, required

Api = Literal["grpc", "rest"]

KEYS = frozenset({"exposeModelServer", "allowedSourceRanges", "internal", "loadBalancerAddress"})

EPHEMERAL = "ephemeral"
STATIC = "static"
"""Kinds of `loadBalancerAddress`; any other value is the name of the user's own address."""
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
WIDEST_PREFIX_BITS = 8
"""No private network is wider than a /8."""
_EXPOSED: dict[str, tuple[Api, ...]] = {"true": ("grpc", "rest"), "rest": ("rest",), "false": ()}
_ADDRESS_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class AccessSettings:
    """Who reaches the model server.

    exposed: the APIs on the load balancer, none for clients in the cluster only; source_ranges:
    the clients' IPv4 ranges; address: `ephemeral`, `static`, or the name of the user's own.
    """

    exposed: tuple[Api, ...]
    source_ranges: tuple[str, ...]
    internal: bool
    address: str


def parse(values: Mapping[str, str]) -> AccessSettings:
    """The settings from configuration values. Raises SettingsError for the first invalid one."""
    exposed = _EXPOSED[choice(values, "exposeModelServer", tuple(_EXPOSED))]
    internal = boolean(values, "internal")
    address = required(values, "loadBalancerAddress", EPHEMERAL)
    if not _ADDRESS_NAME.fullmatch(address):
        raise SettingsError(
            "loadBalancerAddress",
            f"must be {EPHEMERAL}, {STATIC}, or the name of an address that you reserved, not "
            f"{address!r}",
            EPHEMERAL,
        )
    return AccessSettings(
        exposed=exposed,
        source_ranges=_source_ranges(values, internal) if exposed else (),
        internal=internal,
        address=address,
    )


def _source_ranges(values: Mapping[str, str], internal: bool) -> tuple[str, ...]:
    key = "allowedSourceRanges"
    example = "203.0.113.7/32"
    texts = required(values, key, example).replace(",", " ").split()
    if not texts and internal:
        return PRIVATE_RANGES
    if not texts:
        raise SettingsError(
            key,
            "is empty: list who may connect as comma-separated IPv4 ranges (or set internal to "
            "true)",
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
        if network.prefixlen < WIDEST_PREFIX_BITS:
            raise SettingsError(
                key,
                f"{text} is too wide: the server has no authentication, so no range may be wider "
                f"than a /{WIDEST_PREFIX_BITS}",
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
