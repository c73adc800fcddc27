"""Service endpoints: `http://host:port` or `https://…` for REST, `grpc://host:port` for gRPC."""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

from client.errors import InputRefusedError, one_line

LOOPBACK_HOSTS = ("localhost", "::1")
GRPC_SCHEME = "grpc://"
REST_EXAMPLE = "http://127.0.0.1:8501"
GRPC_EXAMPLE = "grpc://127.0.0.1:8500"


class Protocol(StrEnum):
    """The protocol that a service speaks."""

    REST = "rest"
    GRPC = "grpc"


def normalize_endpoint(endpoint: str, protocol: Protocol | None = None) -> str:
    """`endpoint` with its scheme and without a slash at the end.

    A bare `host:port` gets the scheme of `protocol`, or REST's if that is None. A scheme that
    contradicts `protocol` is rejected.
    """
    text = endpoint.strip()
    example = GRPC_EXAMPLE if protocol is Protocol.GRPC else REST_EXAMPLE
    if not text:
        raise InputRefusedError(f"the endpoint is empty: give one such as {example}")
    if "://" not in text:
        text = f"{GRPC_SCHEME if protocol is Protocol.GRPC else 'http://'}{text}"
    text = text.rstrip("/")
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise not_an_endpoint(endpoint, example) from None
    if parts.scheme == Protocol.GRPC:
        usable = usable and parts.port is not None and not (parts.path or parts.username)
        example = GRPC_EXAMPLE
    else:
        usable = usable and parts.scheme in ("http", "https")
    usable = usable and not (parts.query or parts.fragment) and " " not in text
    if not usable or not text.isprintable():
        raise not_an_endpoint(endpoint, example)
    if protocol not in (None, protocol_of(text)):
        raise InputRefusedError(
            f"{one_line(text)} is not a {protocol} endpoint: give one such as "
            f"{GRPC_EXAMPLE if protocol is Protocol.GRPC else REST_EXAMPLE}, "
            "or leave out --transport"
        )
    return text


def protocol_of(endpoint: str) -> Protocol:
    """The protocol of a normalized endpoint."""
    return Protocol.GRPC if endpoint.startswith(GRPC_SCHEME) else Protocol.REST


def not_an_endpoint(text: str, example: str = REST_EXAMPLE) -> InputRefusedError:
    return InputRefusedError(
        f"{one_line(repr(text))} is not an endpoint: give one such as {example}"
    )


def is_loopback(endpoint: str) -> bool:
    """Whether a normalized endpoint is on this machine."""
    host = urlsplit(endpoint).hostname or ""
    return host in LOOPBACK_HOSTS or host.startswith("127.")
