"""Telling a port with TLS from one without, and whom to trust."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import certifi

PROBE_SECONDS = 2.0
GREETING_BYTES = 64
_WRONG_PROTOCOL = ("wrong version number", "record layer failure", "unknown protocol")


def accepts_tls(endpoint: str) -> bool:
    """Whether a TLS server listens there, whichever certificate it has."""
    host, port = _address(endpoint)
    try:
        with (
            socket.create_connection((host, port), PROBE_SECONDS) as connection,
            _any_certificate().wrap_socket(connection, server_hostname=host),
        ):
            return True
    except (OSError, ValueError):
        return False


async def accepts_tls_async(endpoint: str) -> bool:
    """As `accepts_tls`."""
    import asyncio

    host, port = _address(endpoint)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(
                host, port, ssl=_any_certificate(), server_hostname=host
            )
    except (OSError, ValueError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def greeting(endpoint: str) -> bytes:
    """How a server starts its answer to an HTTP request; empty if it does not answer."""
    import asyncio

    host, port = _address(endpoint)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                return await reader.read(GREETING_BYTES)
            finally:
                writer.transport.abort()
    except (OSError, ValueError, TimeoutError):
        return b""


def trusted() -> ssl.SSLContext:
    """The authorities that requests trusts."""
    path = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    path = path or certifi.where()
    if Path(path).is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


def is_wrong_protocol(reason: str) -> bool:
    """Whether OpenSSL's error means that the other side does not speak TLS."""
    return any(words in reason for words in _WRONG_PROTOCOL)


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _address(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
