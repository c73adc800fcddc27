"""The command line's options and help texts."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from client.exit_codes import EXIT_CODES_HELP, EXIT_USAGE
from client.stacks.engine import LOCAL_STACK
from console.invocation import started_as
from model_export.spec import MODEL_NAME
from prediction.endpoints import GRPC_EXAMPLE, REST_EXAMPLE, WEB_EXAMPLE, Protocol
from prediction.errors import printable

Run = Callable[[argparse.Namespace], int]
AddOptions = Callable[[argparse.ArgumentParser], None]

EXAMPLE_PROMPT = "a small red circle on white"

GENERATE_HELP = f"""\
examples:
  %(prog)s "{EXAMPLE_PROMPT}"
  %(prog)s "two blue stars" --seed 7 --count 4 --out pictures
  %(prog)s "a green square" --negative-prompt red --steps 30 --guidance-scale 5
  %(prog)s "a circle" --endpoint http://127.0.0.1:8080

Prints one line per picture: its path, its seed, the seconds it took. The file records the values
it was drawn with, so that the command `again` can reproduce it.

If the server is full, loading, not reachable or lost in mid-picture, the same request is sent again
until --timeout, and a line says so. A model server's request whose connection was lost is repeated
at most twice; a web service's picture goes on meanwhile. Ctrl-C cancels it there.

"""

AGAIN_HELP = """\
example:
  %(prog)s out/two-blue-stars-7.png

Saves a second file, and reports whether its pixels equal those of the first. With the same model
on the same kind of machine they do; a different model is reported too.

"""

LOAD_HELP = """\
examples:
  %(prog)s                                      50 requests, 5 at a time
  %(prog)s -n 200 -c 20 --retry
  %(prog)s -n 100 --rate 0.5 --plot load.png
  %(prog)s --tutorial parallel --stack dev --keep pictures
  %(prog)s --endpoint http://127.0.0.1:8501 --endpoint http://127.0.0.1:8601

The report has the format of hey's and judges first answers: the success rate is over all requests
sent; latencies are those of successful requests; what --retry adds is listed apart. With --rate,
latency is measured from the scheduled time. With several endpoints, each request goes to the one
with the fewest requests in flight. Exits with 0 if every first answer was a picture, else with the
code of the most frequent failure; if a file or picture cannot be written, then with 3.

"""

STATUS_HELP = """\
examples:
  %(prog)s
  %(prog)s --stack dev

Shows the web service's queue, the model, and latency figures if there are metrics. Exits with 0 if
the service is ready.

"""

DOCTOR_HELP = """\
examples:
  %(prog)s
  %(prog)s --stack dev

Prints a line for each check: ok, wait, wrong or unknown, its name, what it found and what to do.
For a stack on GKE it reads the stack's state (how far did the last update come), runs gcloud and
kubectl with your own credentials, and checks the tools, the bucket (can the pods read it), the
model files, the cluster, the rollout, the pods (are they scheduled, did the model load), their log,
the quota and the service. It changes nothing, and leaves your kubeconfig alone. Exits with 0 if all
is well, with 5 if something is in progress, and with 4 if a check failed or could not run.

"""


ENDPOINT_HELP = (
    f"address of the service (instead of --stack): the web service's, {WEB_EXAMPLE}, or a model "
    f"server's, {REST_EXAMPLE} or {GRPC_EXAMPLE}"
)


class OneLineParser(argparse.ArgumentParser):
    """argparse with one-line usage errors, and help texts formatted as written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"error: {printable(message)}; see {self.prog} --help\n")


def typed_text(argument: str) -> str:
    """An argument's text: UTF-8 where the locale's encoding could not decode it.

    What is neither stays as it is, and is refused with the other limits of a prompt.
    """
    try:
        return argument if _is_text(argument) else os.fsencode(argument).decode()
    except UnicodeDecodeError:
        return argument


def _is_text(argument: str) -> bool:
    # Python keeps bytes that it cannot decode as surrogates (PEP 383).
    return not any("\udc80" <= character <= "\udcff" for character in argument)


def build_parser(runs: Mapping[str, Run]) -> argparse.ArgumentParser:
    """The parser for these commands; its result has the command's function as `run`."""
    parser = OneLineParser(
        prog=started_as("client"),
        description="Generate pictures with the deployed service, check it, and load-test it.",
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
    prompts.add_argument(
        "prompt", nargs="?", type=typed_text, metavar="PROMPT", help="what to draw"
    )
    prompts.add_argument(
        "--prompt",
        dest="prompt_option",
        type=typed_text,
        metavar="PROMPT",
        help="the same as an option; write --prompt=-x for a prompt that starts with a dash",
    )
    _add_picture_options(parser)
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="the same seed gives the same picture; --count goes on with N+1, N+2, … [random]",
    )
    parser.add_argument("--count", type=int, default=1, metavar="N", help="how many pictures [1]")


def _add_picture_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--negative-prompt",
        type=typed_text,
        metavar="TEXT",
        help="what the picture should not show [the model's]",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="sampler steps [the model's]")
    parser.add_argument(
        "--guidance-scale",
        type=float,
        metavar="X",
        help="how closely to follow the prompt, 1 or more [the model's]",
    )


def _add_load_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-n", "--requests"),
        type=int,
        metavar="N",
        help="number of requests [50; 5 with --tutorial]",
    )
    parser.add_argument(
        *("-c", "--concurrency"), type=int, metavar="N", help="requests in flight at a time [5]"
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="X",
        help="instead of -c: X requests per second on average (Poisson process)",
    )
    parser.add_argument(
        "--tutorial",
        choices=("sequential", "parallel"),
        help="instead of -c: one after another, or 3 at a time with staggered starts",
    )
    parser.add_argument(
        "--stagger", type=float, metavar="SECONDS", help="between the first starts [20]"
    )
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument(
        "--prompt", type=typed_text, metavar="PROMPT", help="what to draw [the tutorial's five]"
    )
    prompts.add_argument("--prompts", metavar="FILE", help="prompts to use in turn, one per line")
    _add_picture_options(parser)
    parser.add_argument(
        *("--seed",),
        type=int,
        default=1,
        metavar="N",
        help="seed of the first request; N+1, N+2, … follow [1]",
    )
    parser.add_argument(
        "--retry",
        action="store_true",
        help="ask again as `generate` does, until --timeout; reported apart from first answers",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON, with every request"
    )
    parser.add_argument("--csv", metavar="FILE", help="write a row for every request")
    parser.add_argument(
        "--plot", metavar="FILE.png", help="plot latency, requests in flight, CPU and memory"
    )
    parser.add_argument("--keep", metavar="FOLDER", help="save the pictures and a contact sheet")


def _add_patience(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-retry",
        action="store_true",
        help="send each request once, even if the server is full, loading or not reachable",
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="do not wait for a server that is loading or not reachable",
    )


def _add_first_prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prompt",
        type=typed_text,
        default=EXAMPLE_PROMPT,
        metavar="PROMPT",
        help=f"[{EXAMPLE_PROMPT}]",
    )


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a PNG file that `generate` saved")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", default="out", metavar="FOLDER", help="where to save pictures [out]"
    )


def _add_stack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stack",
        default=LOCAL_STACK,
        metavar="NAME",
        help="the stack whose outputs give the service's address and queue [local]",
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
        help="protocol to use: the web service's, or a model server's two [for http:// what "
        "answers there, for a stack its web service if it has one]",
    )
    parser.add_argument(
        "--model-name",
        metavar="NAME",
        help=f"name of the served model [the stack's, or {MODEL_NAME}]",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="how long to wait for a picture, with the first one for the server too [slightly "
        "longer than the server does, and 10 minutes for a model that loads]",
    )


COMMANDS: dict[str, tuple[str, str, tuple[AddOptions, ...]]] = {
    "generate": (
        "generate pictures",
        GENERATE_HELP,
        (_add_generate_options, _add_out, _add_patience, _add_service_options),
    ),
    "first-picture": (
        "draw one picture to show that the service works",
        "",
        (_add_first_prompt, _add_out, _add_patience, _add_service_options),
    ),
    "again": (
        "draw a saved picture again, and compare the pixels",
        AGAIN_HELP,
        (_add_file, _add_out, _add_patience, _add_service_options),
    ),
    "show": ("print the values recorded in a picture file", "", (_add_file,)),
    "load": (
        "load-test the service",
        LOAD_HELP,
        (_add_load_options, _add_services_options),
    ),
    "status": ("show whether the service is ready", STATUS_HELP, (_add_service_options,)),
    "doctor": ("diagnose problems and suggest fixes", DOCTOR_HELP, (_add_stack,)),
}
"""For each command: its line in the list of commands, the end of its help, its options."""
