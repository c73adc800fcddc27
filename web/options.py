"""The command line of `python -m web`."""

from __future__ import annotations

import argparse
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from console.invocation import started_as
from model_export.spec import MODEL_NAME
from prediction.endpoints import Protocol, normalize_endpoint
from prediction.errors import InputRefusedError, one_line

_EPILOG = """\
examples:
  %(prog)s --model-server 127.0.0.1:8500
  %(prog)s --model-server 127.0.0.1:8500 --model-server 127.0.0.1:8600 --queue 16
  %(prog)s --model-server 127.0.0.1:8500 --allow-origin https://studio.example

It starts without a model server, and finds it when it comes. SIGTERM or Ctrl-C: it takes no more
jobs, answers those that wait with 503, finishes those that are drawn, and exits; a second one ends
it at once.

exit codes:
  0    stopped by SIGTERM
  1    it could not start: a port is in use, for example
  2    usage error
  130  stopped by Ctrl-C
"""

_ORIGIN = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """What a web service is started with.

    model_servers: host:port of their gRPC APIs. port, metrics_port: 0 means any free one. max_cost:
    of one job, in pixels × steps × pictures. stop_seconds: how long a stop waits for the pictures
    that are being drawn.
    """

    model_servers: tuple[str, ...]
    model_name: str = MODEL_NAME
    host: str = "127.0.0.1"
    port: int = 8080
    metrics_port: int = 8081
    queue: int = 8
    deadline_seconds: float = 600.0
    keep_results_seconds: float = 600.0
    allowed_origins: tuple[str, ...] = ()
    max_count: int = 10
    max_cost: int = 10 * 50 * 512 * 512
    max_body_bytes: int = 16 * 1024 * 1024
    stop_seconds: float = 120.0
    stop_unless_kept: bool = False


def parse(arguments: Sequence[str]) -> Options:
    """The options. Exits with a line on standard error if they are wrong."""
    parser = _parser()
    values: dict[str, Any] = vars(parser.parse_args(arguments))
    if values["port"] and values["port"] == values["metrics_port"]:
        parser.error(f"--port and --metrics-port are both {values['port']}: choose two")
    for name in ("model_servers", "allowed_origins"):
        values[name] = tuple(dict.fromkeys(values[name]))
    return Options(**values)


class _Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"web: {message} (--help shows the options)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=started_as("web"),
        description="The web service: jobs, progress, OpenAI's and AUTOMATIC1111's APIs, in front "
        "of TensorFlow Serving or the local model server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model-server",
        dest="model_servers",
        metavar="HOST:PORT",
        action="append",
        required=True,
        type=_checked(_model_server),
        help="gRPC address of a model server; several draw several jobs at a time",
    )
    default = Options(())
    for flag, name, metavar, read, text in _WITH_DEFAULT:
        parser.add_argument(
            flag,
            dest=name,
            metavar=metavar,
            default=getattr(default, name),
            type=read,
            help=f"{text} (default: %(default)s)",
        )
    parser.add_argument(
        "--allow-origin",
        dest="allowed_origins",
        metavar="ORIGIN",
        action="append",
        default=[],
        type=_checked(_origin),
        help="a web page's origin, such as https://studio.example, whose scripts may use the "
        "service; may be repeated",
    )
    parser.add_argument(
        "--stop-unless-kept",
        action="store_true",
        help="stop if standard input closes before the line `keep` arrives",
    )
    return parser


def _checked(check: Callable[[str], str]) -> Callable[[str], str]:
    """Argparse shows the message of this exception only."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _model_server(text: str) -> str:
    try:
        return normalize_endpoint(text, Protocol.GRPC).partition("://")[2]
    except InputRefusedError:
        raise ValueError(
            f"{one_line(text)} is no model server's gRPC address: give one such as 127.0.0.1:8500"
        ) from None


def _loopback(text: str) -> str:
    if text == "localhost":
        return text
    try:
        if ipaddress.ip_address(text).is_loopback:
            return text
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address: give 127.0.0.1 or ::1") from None
    raise ValueError(
        f"{text} can be reached from other machines, and the service asks nobody for a key: give "
        "127.0.0.1 or ::1, and let others in by an SSH tunnel"
    )


def _origin(text: str) -> str:
    """As browsers send it: scheme, host in lower case, and a port only where it is not usual."""
    if not _ORIGIN.fullmatch(text):
        raise ValueError(
            f"{text!r} is not an origin: give scheme and host, such as https://studio.example, "
            "without a path"
        )
    parts = urlsplit(text.lower())
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.removesuffix(f':{usual}')}"


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return whole


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    # Written so that NaN, which compares false with everything, is refused too.
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to a day")
    return seconds


_PORT = _whole(0, 65_535)
_WITH_DEFAULT: Sequence[tuple[str, str, str, Callable[[str], object], str]] = (
    ("--model-name", "model_name", "NAME", str, "its model"),
    ("--host", "host", "ADDRESS", _checked(_loopback), "loopback address to listen on"),
    ("--port", "port", "N", _PORT, "port of the page and the APIs; 0 means any"),
    ("--metrics-port", "metrics_port", "N", _PORT, "port of /metrics; 0 means any"),
    ("--queue", "queue", "N", _whole(1, 10_000), "jobs that may wait"),
    (
        *("--deadline", "deadline_seconds", "SECONDS", _seconds),
        "longest time from a job's submission to its last picture",
    ),
    (
        *("--keep-results", "keep_results_seconds", "SECONDS", _seconds),
        "how long pictures can be fetched",
    ),
    ("--max-count", "max_count", "N", _whole(1, 1000), "most pictures in one job"),
    ("--max-cost", "max_cost", "N", _whole(1, 2**53), "most pixels × steps × pictures in one job"),
    ("--max-body", "max_body_bytes", "BYTES", _whole(1024, 2**30), "largest request body"),
    (
        *("--stop-timeout", "stop_seconds", "SECONDS", _seconds),
        "how long a stop waits for pictures that are being drawn",
    ),
)
"""The flag, the field, what stands for the value, how it is read, and the help."""
