"""Service endpoints: `http://host:port` or `https://…` for the web service and for TF Serving's
REST, `grpc://host:port` for gRPC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from prediction.errors import InputRefusedError, one_line

LOOPBACK_HOSTS = ("localhost", "::1")
GRPC_SCHEME = "grpc://"
WEB_EXAMPLE = "http://127.0.0.1:8080"
REST_EXAMPLE = "http://127.0.0.1:8501"
GRPC_EXAMPLE = "grpc://127.0.0.1:8500"


_MODEL_PATH = re.compile(
    r"/v1/models(?:/(?P<name>[^/:]+)(?P<version>/(?:versions|labels)/[^/:]+)?"
    r"(?:/metadata)?(?::\w+)?)?/?$"
)
"""The path of a REST request, whose address people paste."""
_WEB_PATH = re.compile(
    r"(?<=[^/])(?:/v1(?:/images(?:/\w+)?)?|/sdapi/v1(?:/[\w-]+)?|/api/v1(?:/[^?#\s]*)?)?/?"
    r"(?:#\S*)?$"
)
"""The same of the web service's page and APIs: what comes after its root."""
_URL = re.compile(r"(?:https?|grpc)://[^\s'\"]+")


class Protocol(StrEnum):
    """The protocol that a service speaks."""

    WEB = "web"
    """The web service's job API."""
    REST = "rest"
    """TF Serving's."""
    GRPC = "grpc"


_EXAMPLES = {
    Protocol.WEB: WEB_EXAMPLE,
    Protocol.REST: REST_EXAMPLE,
    Protocol.GRPC: GRPC_EXAMPLE,
}


@dataclass(frozen=True)
class Address:
    """A normalized endpoint, and the model if the address named one."""

    endpoint: str
    model_name: str | None


def parse_address(text: str, protocol: Protocol | None = None) -> Address:
    """The endpoint in `text`, which may be the URL of a request, such as `:predict`'s, or the web
    service's page.
    """
    trimmed = text.strip()
    if trimmed.startswith(GRPC_SCHEME):
        return Address(normalize_endpoint(text, protocol), None)
    found = _MODEL_PATH.search(trimmed)
    if found is None:
        if found := _WEB_PATH.search(trimmed):
            text = trimmed[: found.start()]
        return Address(normalize_endpoint(text, protocol), None)
    endpoint = normalize_endpoint(trimmed[: found.start()], protocol)
    if found["version"]:
        raise InputRefusedError(
            f"{one_line(trimmed)} names a version, but the client asks for the one that is "
            f"served: give {endpoint}"
        )
    return Address(endpoint, unquote(found["name"]) if found["name"] else None)


def agreed_name(given: str | None, addresses: Sequence[Address]) -> str | None:
    """The model's name: the one given, or that in the addresses; None if there is none."""
    names = list(dict.fromkeys([given, *(address.model_name for address in addresses)]))
    found = [name for name in names if name is not None]
    if len(found) > 1:
        raise InputRefusedError(
            f"the model is {one_line(repr(found[0]))} and {one_line(repr(found[1]))}: name one, "
            "by --model-name or in the URL"
        )
    return found[0] if found else None


def normalize_endpoint(endpoint: str, protocol: Protocol | None = None) -> str:
    """`endpoint` with its scheme and without a slash at the end.

    A bare `host:port` gets the scheme of `protocol`, or HTTP's if that is None. A scheme that
    contradicts `protocol` is rejected.
    """
    text = endpoint.strip()
    example = _EXAMPLES[protocol or Protocol.REST]
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
    if protocol is not None and (protocol is Protocol.GRPC) != is_grpc(text):
        raise InputRefusedError(
            f"{one_line(text)} is not a {protocol} endpoint: give one such as "
            f"{_EXAMPLES[protocol]}, or leave out --transport"
        )
    return text


def is_grpc(endpoint: str) -> bool:
    """Whether a normalized endpoint is one for gRPC; the others are for HTTP."""
    return endpoint.startswith(GRPC_SCHEME)


def with_scheme(endpoint: str, protocol: Protocol, *, secure: bool = False) -> str:
    """The same host and port with the scheme of `protocol`."""
    if protocol is Protocol.GRPC:
        return f"{GRPC_SCHEME}{urlsplit(endpoint).netloc}"
    return f"{'https' if secure else 'http'}://{urlsplit(endpoint).netloc}"


def not_an_endpoint(text: str, example: str = REST_EXAMPLE) -> InputRefusedError:
    """The refusal of `text`. If the URL of a request is in it, as in a `curl` command, its address
    is proposed.
    """
    for url in _URL.findall(text):
        found = _MODEL_PATH.search(url)
        if found is not None:
            example = url[: found.start()]
    return InputRefusedError(
        f"{one_line(repr(text))} is not an endpoint: give one such as {example}"
    )


def is_loopback(endpoint: str) -> bool:
    """Whether a normalized endpoint is on this machine."""
    host = urlsplit(endpoint).hostname or ""
    return host in LOOPBACK_HOSTS or host.startswith("127.")
