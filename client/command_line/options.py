"""The command line's options and help texts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from client.errors import printable
from client.exit_codes import EXIT_CODES_HELP, EXIT_USAGE
from client.stacks.discovery import LOCAL_STACK
from client.transports.endpoints import GRPC_EXAMPLE, REST_EXAMPLE, Protocol
from model_export.spec import MODEL_NAME

Run = Callable[[argparse.Namespace], int]
AddOptions = Callable[[argparse.ArgumentParser], None]

EXAMPLE_PROMPT = "a small red circle on white"

GENERATE_HELP = f"""\
examples:
  python -m client generate "{EXAMPLE_PROMPT}"
  python -m client generate "two blue stars" --seed 7 --count 4 --out pictures
  python -m client generate "a green square" --negative-prompt red --steps 30 --guidance-scale 5
  python -m client generate "a circle" --endpoint http://127.0.0.1:8501

One line is printed for each picture: its path, its seed, the seconds it took. The file holds
all that made it, so that `python -m client again FILE` can make it again.

"""

AGAIN_HELP = """\
example:
  python -m client again out/two-blue-stars-7.png

Writes a second file, and says whether its pixels equal those of the first. They do on the same
kind of machine with the same model; that the model is another one is said too.

"""

LOAD_HELP = """\
examples:
  python -m client load                                   50 requests, 5 at a time
  python -m client load -n 200 -c 20 --retry
  python -m client load -n 100 --rate 0.5 --plot load.png
  python -m client load --tutorial parallel --stack dev --keep pictures
  python -m client load --endpoint http://127.0.0.1:8501 --endpoint http://127.0.0.1:8601

The report has the form of hey's. Success counts every request that was sent; latencies are those
of the pictures. With --rate, latency counts from when a request was due. With several endpoints,
each request goes to the one with the fewest requests in flight. Exits with 0 if every request
became a picture, else with the code of the most frequent failure.

"""

STATUS_HELP = """\
examples:
  python -m client status
  python -m client status --stack dev

Shows latency and queue from the server's metrics, where it has them. Exits with 0 if the service
is ready.

"""

DOCTOR_HELP = """\
examples:
  python -m client doctor
  python -m client doctor --stack dev

A line for each check: ok, wait, wrong or unknown, what was checked, what is so, what to do. For a
stack on GKE it asks gcloud and kubectl with your own rights: tools, bucket (may the pods read it),
files, cluster, pods (do they fit on a node, did the model load), log, quota, service. Nothing is
changed, your kubeconfig included. Exits with 0 if all is well, with 5 if it only takes time, and
with 4 if something is wrong or could not be asked.

"""


ENDPOINT_HELP = f"the service itself, such as {REST_EXAMPLE} or {GRPC_EXAMPLE}"


class OneLineParser(argparse.ArgumentParser):
    """argparse, with a wrong command line answered in one line and help texts left as written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"error: {printable(message)}; see {self.prog} --help\n")


def build_parser(runs: Mapping[str, Run]) -> argparse.ArgumentParser:
    """The parser for these commands; what it parses has the command's function as `run`."""
    parser = OneLineParser(
        prog="python -m client",
        description="Ask the deployed service for pictures.",
        epilog=EXIT_CODES_HELP,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for name, run in runs.items():
        summary, epilog, add_options = COMMANDS[name]
        command = commands.add_parser(
            name, help=summary, description=run.__doc__, epilog=epilog + EXIT_CODES_HELP
        )
        command.set_defaults(run=run)
        for add in add_options:
            add(command)
    return parser


def _add_generate_options(parser: argparse.ArgumentParser) -> None:
    prompts = parser.add_mutually_exclusive_group(required=True)
    prompts.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to draw")
    prompts.add_argument(
        "--prompt",
        dest="prompt_option",
        metavar="PROMPT",
        help="the same as an option; --prompt=-x takes one that starts with a dash",
    )
    _add_picture_options(parser)
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="the same seed makes the same picture; with --count, N+1 and so on follow [drawn]",
    )
    parser.add_argument("--count", type=int, default=1, metavar="N", help="how many pictures [1]")


def _add_picture_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--negative-prompt", metavar="TEXT", help="what to keep away from (default: the stack's)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="sampler steps [the stack's]")
    parser.add_argument(
        "--guidance-scale",
        type=float,
        metavar="X",
        help="how closely to follow the prompt, 1 or more [the stack's]",
    )


def _add_load_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-n", "--requests"), type=int, metavar="N", help="how many [50; 5 with --tutorial]"
    )
    parser.add_argument(
        *("-c", "--concurrency"), type=int, metavar="N", help="how many at a time [5]"
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="X",
        help="instead: X a second on average (Poisson)",
    )
    parser.add_argument(
        "--tutorial",
        choices=("sequential", "parallel"),
        help="instead: one after another; or 3 at a time, the first ones --stagger apart",
    )
    parser.add_argument("--stagger", type=float, metavar="SECONDS", help="[the tutorial's 20]")
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", metavar="PROMPT", help="what to draw [the tutorial's five]")
    prompts.add_argument("--prompts", metavar="FILE", help="what to draw in turn, one on each line")
    _add_picture_options(parser)
    parser.add_argument(
        *("--seed",),
        type=int,
        default=1,
        metavar="N",
        help="the first; N+1 and so on follow [1]",
    )
    parser.add_argument(
        "--retry", action="store_true", help="ask again after a 503, until --timeout is over"
    )
    parser.add_argument("--json", action="store_true", help="report as JSON, with every request")
    parser.add_argument("--csv", metavar="FILE", help="a line for every request")
    parser.add_argument(
        "--plot", metavar="FILE.png", help="latency, requests in flight, CPU and memory over time"
    )
    parser.add_argument(
        "--keep", metavar="FOLDER", help="write the pictures and a contact sheet of them"
    )


def _add_first_prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prompt", default=EXAMPLE_PROMPT, metavar="PROMPT", help=f"[{EXAMPLE_PROMPT}]"
    )


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a PNG file that `generate` wrote")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", default="out", metavar="FOLDER", help="where pictures are written [out]"
    )


def _add_stack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stack",
        default=LOCAL_STACK,
        metavar="NAME",
        help="the stack whose outputs say where the service is, and its limits [local]",
    )


def _add_service_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--endpoint", metavar="URL", help=ENDPOINT_HELP)
    _add_connection_options(parser)


def _add_services_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--endpoint", action="append", metavar="URL", help=f"{ENDPOINT_HELP}; may be repeated"
    )
    _add_connection_options(parser)


def _add_connection_options(parser: argparse.ArgumentParser) -> None:
    _add_stack(parser)
    parser.add_argument(
        "--transport",
        choices=[protocol.value for protocol in Protocol],
        help="what to speak [what the endpoint says; rest]",
    )
    parser.add_argument(
        "--model-name", metavar="NAME", help=f"the served model [the stack's, or {MODEL_NAME}]"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="how long to wait for a picture [a little longer than the server]",
    )


COMMANDS: dict[str, tuple[str, str, tuple[AddOptions, ...]]] = {
    "generate": (
        "make pictures",
        GENERATE_HELP,
        (_add_generate_options, _add_out, _add_service_options),
    ),
    "first-picture": (
        "draw one picture to show that the service works",
        "",
        (_add_first_prompt, _add_out, _add_service_options),
    ),
    "again": (
        "make the picture of a file again",
        AGAIN_HELP,
        (_add_file, _add_out, _add_service_options),
    ),
    "show": ("print what a file says of itself", "", (_add_file,)),
    "load": (
        "send many requests and report how they fared",
        LOAD_HELP,
        (_add_load_options, _add_services_options),
    ),
    "status": ("say whether the service is ready", STATUS_HELP, (_add_service_options,)),
    "doctor": ("find out what is wrong, and what to do", DOCTOR_HELP, (_add_stack,)),
}
"""For each command: its line in the list of commands, the end of its help, its options."""
