"""Telling a port with TLS from one without."""

from __future__ import annotations

import socket
import ssl

TIMEOUT_SECONDS = 2.0
_WRONG_PROTOCOL = ("wrong version number", "record layer failure", "unknown protocol")


def accepts_tls(host: str, port: int) -> bool:
    """Whether a TLS server listens there, whichever certificate it has."""
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_SECONDS) as connection,
            any_certificate().wrap_socket(connection, server_hostname=host),
        ):
            return True
    except (OSError, ValueError):
        return False


def any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_wrong_protocol(reason: str) -> bool:
    """Whether OpenSSL's error means that the other side does not speak TLS."""
    return any(words in reason for words in _WRONG_PROTOCOL)
