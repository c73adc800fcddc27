"""How the values of the command line are read: each in one line if it is wrong."""

from __future__ import annotations

import argparse
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from prediction.endpoints import Protocol, normalize_endpoint
from prediction.errors import InputRefusedError, one_line

_ORIGIN = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII | re.IGNORECASE)


def checked(check: Callable[[str], str]) -> Callable[[str], str]:
    """Argparse shows the message of this exception only."""

    def read(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def model_server(text: str) -> str:
    try:
        return normalize_endpoint(text, Protocol.GRPC).partition("://")[2]
    except InputRefusedError:
        raise ValueError(
            f"{one_line(text)} is no model server's gRPC address: give one such as 127.0.0.1:8500"
        ) from None


def worker_url(text: str) -> str:
    try:
        return normalize_endpoint(text, Protocol.WEB)
    except InputRefusedError:
        raise ValueError(
            f"{one_line(text)} is no address of workers: give one such as "
            "http://diffusion.diffusion-serving.svc.cluster.local"
        ) from None


def address(text: str) -> str:
    try:
        return text if text == "localhost" else str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is not an IP address: give 127.0.0.1 or ::1, or 0.0.0.0 or :: with "
            "--keys-file"
        ) from None


def is_loopback(address: str) -> bool:
    return address == "localhost" or ipaddress.ip_address(address).is_loopback


def path(text: str) -> str:
    if not text:
        raise ValueError("the path is empty: give that of a file")
    return text


def origin(text: str) -> str:
    """As browsers send it: scheme, host in lower case, and a port only where it is not usual."""
    if not _ORIGIN.fullmatch(text):
        raise ValueError(
            f"{text!r} is not an origin: give scheme and host, such as https://studio.example, "
            "without a path"
        )
    parts = urlsplit(text.lower())
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.removesuffix(f':{usual}')}"


def whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return whole
