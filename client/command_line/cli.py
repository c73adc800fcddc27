"""The command line: a thin layer of options, output and exit codes over the library."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from client.api import Client
from client.command_line.connection import Service, chosen_stack, connect, print_warning
from client.command_line.drawing import Drawing
from client.command_line.first_answer import LONGEST_SECONDS, domain_problem, wait_for_answer
from client.command_line.help_texts import EXAMPLE_PROMPT
from client.command_line.load import load
from client.command_line.options import build_parser
from client.command_line.page import page
from client.command_line.service_status import print_status
from client.doctor.finding import Finding
from client.errors import NotExposedError
from client.exit_codes import EXIT_CODES, EXIT_DONE, EXIT_INTERRUPTED, exit_code
from client.pictures import picture as picture_files
from client.pictures.picture import Picture
from client.stacks.discovery import for_stack, make_command
from client.transports.web_key import VARIABLE, api_key
from model_export.reported import RANDOM_WEIGHTS_MARK
from prediction.errors import (
    ClientError,
    InputRefusedError,
    ModelLoadingError,
    UnreachableError,
    printable,
)
from prediction.limits import PictureRequest, check_seed, draw_seed
from prediction.model_status import not_ready

FIRST_SEED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a usage error exits with 2 directly."""
    arguments = build_parser(COMMANDS).parse_args(argv)
    try:
        return arguments.run(arguments)
    except ClientError as error:
        print(f"error: {_for_the_stack(str(error), arguments)}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _for_the_stack(message: str, arguments: argparse.Namespace) -> str:
    """`message` with make's commands for the stack that the command is about, if it is."""
    options = vars(arguments)
    if "stack" not in options:
        return message
    return for_stack(message, chosen_stack(options["stack"], options.get("endpoint")))


def generate(arguments: argparse.Namespace) -> int:
    """Generate `--count` pictures one after another, saving each one as it arrives."""
    count: int = arguments.count
    if count < 1:
        raise InputRefusedError(f"--count must be 1 or more, not {count}")
    service = connect(arguments)
    client = service.client
    first_seed: int | None = arguments.seed
    if first_seed is None:
        seeds: Iterable[int] = (draw_seed() for _ in range(count))
    else:
        check_seed(first_seed, count)
        seeds = range(first_seed, first_seed + count)
    drawing = Drawing(service, arguments, count)
    request = drawing.prepare(
        arguments.prompt_option if arguments.prompt is None else arguments.prompt,
        negative_prompt=arguments.negative_prompt,
        num_steps=arguments.steps,
        guidance_scale=arguments.guidance_scale,
        seed=first_seed,
    )
    folder = picture_files.prepare_folder(arguments.out)
    finished = 0
    try:
        for seed in seeds:
            picture = drawing.draw(replace(request, seed=seed))
            print_result(picture.save(folder), picture)
            if finished == 0:
                print_warnings(picture, request, client)
            finished += 1
    except KeyboardInterrupt:
        print(f"interrupted: {finished} of {count} pictures saved in {folder}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_DONE


def first_picture(arguments: argparse.Namespace) -> int:
    """Draw one picture to show that the service works, and print what to do next.

    The seed is fixed, so that a second run changes nothing.
    """
    try:
        service = _answering(connect(arguments), arguments)
    except NotExposedError as error:
        print(f"service  {for_stack(str(error), arguments.stack)}")
        return EXIT_DONE
    client = service.client
    if problem := domain_problem(client, service.stack, arguments.stack):
        print(f"page     {client.endpoint}")
        print(f"next     {problem}")
        return EXIT_DONE
    if service.stack is not None and service.stack.asks_for_keys and not api_key():
        print(f"page     {service.stack.page}")
        print(f"next     draw with a key: in {VARIABLE}, or on the page")
        return EXIT_DONE
    drawing = Drawing(service, arguments)
    request = drawing.prepare(arguments.prompt, seed=FIRST_SEED)
    folder = picture_files.prepare_folder(arguments.out)
    picture = drawing.draw(request)
    print_warnings(picture, request, client)
    if service.stack is not None and service.stack.page:
        print(f"page     {service.stack.page}")
    else:
        print(f"service  {client.endpoint}")
    print(f"picture  {picture.save_unless_there(folder)}")
    print(f'next     {make_command("generate", arguments.stack)} PROMPT="{EXAMPLE_PROMPT}"')
    return EXIT_DONE


def _answering(service: Service, arguments: argparse.Namespace) -> Service:
    """The service, once it answers if it is on a cluster."""
    stack = service.stack
    gives_up = arguments.no_wait or arguments.no_retry
    if gives_up or stack is None or not stack.kubeconfig_command or stack.address:
        return service
    limit_seconds: float = arguments.timeout or LONGEST_SECONDS
    seconds = wait_for_answer(service.client, arguments.stack, limit_seconds)
    return replace(service, waited_seconds=service.waited_seconds + seconds)


def again(arguments: argparse.Namespace) -> int:
    """Draw a saved picture again from the values in its file, and compare the pixels."""
    saved = picture_files.read(arguments.file)
    service = connect(arguments)
    client = service.client
    drawing = Drawing(service, arguments)
    request = drawing.prepare(
        saved.request.prompt,
        negative_prompt=saved.request.negative_prompt,
        num_steps=saved.request.num_steps,
        guidance_scale=saved.request.guidance_scale,
        seed=saved.request.seed,
    )
    folder = picture_files.prepare_folder(arguments.out)
    picture = drawing.draw(request)
    print_result(picture.save(folder), picture)
    print_warnings(picture, request, client)
    if picture.fingerprint != saved.fingerprint:
        print(
            f"model   {picture.fingerprint}; the file is from another model, "
            f"{printable(saved.fingerprint)}"
        )
    print(f"pixels  {'equal' if saved.shows_the_same_as(picture) else 'different'}")
    return EXIT_DONE


def show(arguments: argparse.Namespace) -> int:
    """Print the values recorded in a picture file: its PNG text chunks."""
    text = picture_files.read_text(arguments.file)
    if not text:
        raise picture_files.PictureFileError(
            f"{arguments.file} has no text chunks: choose a file that `generate` saved"
        )
    width = max(map(len, text))
    for keyword, value in text.items():
        print(f"{printable(keyword):{width}}  {printable(value)}")
    return EXIT_DONE


def status(arguments: argparse.Namespace) -> int:
    """Show whether the service is ready, and which model it serves."""
    service = connect(arguments)
    client = service.client
    model = client.status()
    problem = not_ready(client.endpoint, client.model_name, model)
    if problem is not None:
        raise problem
    print_status(service, model)
    return EXIT_DONE


def doctor(arguments: argparse.Namespace) -> int:
    """Check everything that the service depends on, and suggest fixes for what is wrong."""
    # Imports psutil and requests, which `--help` and `show` do not need.
    from client.doctor.examination import State, examine, verdict

    findings: list[Finding] = []
    for finding in examine(arguments.stack):
        findings.append(finding)
        print(f"{finding.state:7}  {finding.check:7}  {finding.message}", flush=True)
        for line in finding.lines:
            print(f"{'':18}| {line}", flush=True)
    match verdict(findings):
        case State.OK:
            return EXIT_DONE
        case State.WAIT:
            return EXIT_CODES[ModelLoadingError]
        case State.WRONG | State.UNKNOWN:
            return EXIT_CODES[UnreachableError]


def print_result(path: Path, picture: Picture) -> None:
    print(f"{path}  seed {picture.seed}  {picture.seconds:.1f} s", flush=True)


def print_warnings(picture: Picture, request: PictureRequest, client: Client) -> None:
    """Warn on standard error where the picture differs from the request."""
    for name, tokens, is_cut in (
        ("prompt", picture.prompt_tokens, picture.truncated),
        ("negative prompt", picture.negative_prompt_tokens, picture.negative_prompt_truncated),
    ):
        if is_cut:
            print_warning(
                f"the {name} has {tokens} tokens, but the model reads only the first "
                f"{client.limits.max_prompt_tokens}: shorten it"
            )
    if "<lora:" in request.prompt:
        print_warning("the prompt's <lora:…> is read as text: LoRAs are a part of the model")
    if picture.num_steps != request.num_steps:
        print_warning(f"the server ran {picture.num_steps} steps, not {request.num_steps}")
    if picture.fingerprint.endswith(RANDOM_WEIGHTS_MARK):
        print_warning("this model has RANDOM WEIGHTS: it was never trained, so it draws noise")


COMMANDS = {
    "generate": generate,
    "first-picture": first_picture,
    "again": again,
    "show": show,
    "load": load,
    "status": status,
    "page": page,
    "doctor": doctor,
}
