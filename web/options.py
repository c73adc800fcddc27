"""The command line of `python -m web`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from console.invocation import started_as
from console.option_values import seconds
from model_export.spec import MODEL_NAME
from web.option_values import (
    address,
    checked,
    is_loopback,
    model_server,
    origin,
    path,
    whole,
    worker_url,
)
from web.roles import Role, complaint

_EPILOG = """\
examples:
  %(prog)s --model-server 127.0.0.1:8500
  %(prog)s --model-server 127.0.0.1:8500 --model-server 127.0.0.1:8600 --queue 16
  %(prog)s --model-server 127.0.0.1:8500 --allow-origin https://studio.example
  %(prog)s --model-server 127.0.0.1:8500 --host 0.0.0.0 --keys-file keys.json
  %(prog)s --role worker --model-server 127.0.0.1:8500 --port 8090
  %(prog)s --role front --worker-url http://127.0.0.1:8090 --model-description model.json

It starts without a model server, and finds it when it comes. SIGTERM or Ctrl-C: it takes no more
jobs, answers those that wait with 503, finishes those that are drawn, and exits; a second one ends
it at once.

exit codes:
  0    stopped by SIGTERM
  1    it could not start: a port is in use, for example
  2    usage error
  130  stopped by Ctrl-C
"""


@dataclass(frozen=True)
class Options:
    """What a web service is started with.

    model_servers: host:port of their gRPC APIs. port, metrics_port: 0 means any free one.
    keys_file: without one everybody is let in, and the hosts are loopback. max_cost: of one job, in
    pixels × steps × pictures. stop_seconds: how long a stop waits for the pictures that are being
    drawn. worker_url and what follows: a front's. workers: how many of them draw at a time.
    model_description: the file with what they serve.
    """

    model_servers: tuple[str, ...]
    model_name: str = MODEL_NAME
    host: str = "127.0.0.1"
    port: int = 8080
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 8081
    keys_file: str | None = None
    jobs_per_key: int = 4
    queue: int = 8
    deadline_seconds: float = 600.0
    draw_deadline_seconds: float = 600.0
    keep_results_seconds: float = 600.0
    allowed_origins: tuple[str, ...] = ()
    max_count: int = 10
    max_cost: int = 10 * 50 * 512 * 512
    max_body_bytes: int = 16 * 1024 * 1024
    stop_seconds: float = 120.0
    stop_unless_kept: bool = False
    role: Role = Role.BOTH
    worker_url: str | None = None
    workers: int = 10
    model_description: str | None = None
    worker_key_file: str | None = None


def parse(arguments: Sequence[str]) -> Options:
    """The options. Exits with a line on standard error if they are wrong."""
    parser = _parser()
    values: dict[str, Any] = vars(parser.parse_args(arguments))
    values["role"] = Role(values["role"])
    if values["port"] and values["port"] == values["metrics_port"]:
        parser.error(f"--port and --metrics-port are both {values['port']}: choose two")
    values["metrics_host"] = values["metrics_host"] or values["host"]
    for flag, name in (("--host", "host"), ("--metrics-host", "metrics_host")):
        if values["keys_file"] is None and not is_loopback(values[name]):
            parser.error(
                f"argument {flag}: {values[name]} can be reached from other machines, and without "
                "--keys-file the service asks nobody for a key: give one, or give 127.0.0.1 or ::1 "
                "and let others in by an SSH tunnel"
            )
    for name in ("model_servers", "allowed_origins"):
        values[name] = tuple(dict.fromkeys(values[name]))
    if wrong := complaint(values):
        parser.error(wrong)
    if values["role"] is Role.WORKER:
        # Whoever waits, does so before it; and nobody asks it twice for a picture.
        values["queue"], values["keep_results_seconds"] = 0, 0.0
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
        "--role",
        choices=[role.value for role in Role],
        default=Role.BOTH.value,
        help="%(choices)s (default: %(default)s)",
    )
    parser.add_argument(
        "--model-server",
        dest="model_servers",
        metavar="HOST:PORT",
        action="append",
        default=[],
        type=checked(model_server),
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
        "--metrics-host",
        metavar="ADDRESS",
        type=checked(address),
        help="IP address of /metrics, which asks for no key (default: that of --host)",
    )
    parser.add_argument(
        "--keys-file",
        metavar="PATH",
        type=checked(path),
        help='whom to let in: {"keys": [{"name": "alice", "sha256": "…"}]}, read again when it '
        "changes; without it everybody on this machine",
    )
    for flag, name, metavar, read, text in _OF_A_FRONT:
        parser.add_argument(
            flag,
            dest=name,
            metavar=metavar,
            default=getattr(default, name),
            type=checked(read),
            help=text,
        )
    parser.add_argument(
        "--allow-origin",
        dest="allowed_origins",
        metavar="ORIGIN",
        action="append",
        default=[],
        type=checked(origin),
        help="a web page's origin, such as https://studio.example, whose scripts may use the "
        "service; may be repeated",
    )
    parser.add_argument(
        "--stop-unless-kept",
        action="store_true",
        help="stop if standard input closes before the line `keep` arrives",
    )
    return parser


_PORT = whole(0, 65_535)
_WITH_DEFAULT: Sequence[tuple[str, str, str, Callable[[str], object], str]] = (
    ("--model-name", "model_name", "NAME", str, "its model"),
    ("--host", "host", "ADDRESS", checked(address), "IP address to listen on"),
    ("--port", "port", "N", _PORT, "port of the page and the APIs; 0 means any"),
    ("--metrics-port", "metrics_port", "N", _PORT, "port of /metrics; 0 means any"),
    ("--queue", "queue", "N", whole(1, 10_000), "jobs that may wait"),
    ("--workers", "workers", "N", whole(1, 1000), "a front's jobs that are drawn at a time"),
    (
        *("--jobs-per-key", "jobs_per_key", "N", whole(1, 10_000)),
        "jobs of one key that may wait or be drawn",
    ),
    (
        *("--deadline", "deadline_seconds", "SECONDS", seconds),
        "longest time from a job's submission to its last picture",
    ),
    (
        *("--draw-deadline", "draw_deadline_seconds", "SECONDS", seconds),
        "the same for what a front asks of a worker",
    ),
    (
        *("--keep-results", "keep_results_seconds", "SECONDS", seconds),
        "how long pictures can be fetched",
    ),
    ("--max-count", "max_count", "N", whole(1, 1000), "most pictures in one job"),
    ("--max-cost", "max_cost", "N", whole(1, 2**53), "most pixels × steps × pictures in one job"),
    ("--max-body", "max_body_bytes", "BYTES", whole(1024, 2**30), "largest request body"),
    (
        *("--stop-timeout", "stop_seconds", "SECONDS", seconds),
        "how long a stop waits for pictures that are being drawn",
    ),
)
"""The flag, the field, what stands for the value, how it is read, and the help."""
_OF_A_FRONT: Sequence[tuple[str, str, str, Callable[[str], str], str]] = (
    ("--worker-url", "worker_url", "URL", worker_url, "a front's workers, behind one address"),
    (
        *("--model-description", "model_description", "PATH", path),
        "what a front's workers serve: the JSON that the model's signature describe answers",
    ),
    (
        *("--worker-key-file", "worker_key_file", "PATH", path),
        "the key that a front shows its workers, read again for each job",
    ),
)
"""The same for those that only a front has, without a default."""
