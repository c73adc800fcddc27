"""The commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from client.command_line.help_texts import (
    AGAIN_HELP,
    DOCTOR_HELP,
    ENDPOINT_HELP,
    ENVIRONMENT_HELP,
    EXAMPLE_PROMPT,
    GENERATE_HELP,
    LOAD_HELP,
    PAGE_HELP,
    STATUS_HELP,
)
from client.command_line.parser import OneLineParser, typed_text
from client.exit_codes import EXIT_CODES_HELP
from client.stacks.engine import LOCAL_STACK
from console.invocation import started_as
from model_export.spec import MODEL_NAME
from prediction.endpoints import Protocol

Run = Callable[[argparse.Namespace], int]
AddOptions = Callable[[argparse.ArgumentParser], None]


def build_parser(runs: Mapping[str, Run]) -> argparse.ArgumentParser:
    """The parser for these commands; its result has the command's function as `run`."""
    parser = OneLineParser(
        prog=started_as("client"),
        description="Generate pictures with the deployed service, check it, and load-test it.",
        epilog=ENVIRONMENT_HELP + EXIT_CODES_HELP,
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
        "--seed",
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
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FOLDER",
        help="record the metrics of the stack local's web service, for Prometheus",
    )


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
    "page": ("show where the page is, or bring it here", PAGE_HELP, (_add_stack,)),
    "doctor": ("diagnose problems and suggest fixes", DOCTOR_HELP, (_add_stack,)),
}
"""For each command: its line in the list of commands, the end of its help, its options."""
