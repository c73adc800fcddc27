"""`load`: the options of a load test, its display, and where its results go."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from client.api import Client
from client.command_line import progress
from client.command_line.connection import Service, connect
from client.errors import InputRefusedError, PictureFileError, printable
from client.exit_codes import EXIT_INTERRUPTED
from client.limits import PictureRequest, check_seed
from client.load.plan import (
    TUTORIAL_PROMPTS,
    Plan,
    at_a_rate,
    at_a_time,
    one_after_another,
    staggered,
)
from client.transports.transport import not_ready

if TYPE_CHECKING:
    from client.load.usage import Sample

DEFAULT_REQUESTS = 50
DEFAULT_CONCURRENCY = 5
MAX_REQUESTS = 1_000_000


def load(arguments: argparse.Namespace) -> int:
    """Send many requests, and report how the service bore them."""
    # The HTTP library, psutil, csv: `--help` and other commands do without.
    from client.load.album import Album
    from client.load.run import Load
    from client.load.summary import as_document, as_text, summarize, write_csv

    service = connect(arguments)
    client = service.client
    plan = plan_of(arguments, client)
    csv_file, plot_file = _output_file(arguments.csv), _output_file(arguments.plot)
    if plot_file is not None:
        from client.load.plot import require_drawing

        require_drawing(plot_file)
    album = None if arguments.keep is None else Album(arguments.keep)
    problem = not_ready(client.endpoint, client.model_name, client.status())
    if problem is not None:
        raise problem
    run = Load(client, plan, retry=arguments.retry, keep=album.keep if album else None)
    with (
        _usage(service, wanted=plot_file is not None or arguments.json) as samples,
        progress.shown(run.line, sys.stderr, time.monotonic() + progress.QUIET_SECONDS),
    ):
        outcome = run.run()
    summary = summarize(outcome)
    if arguments.json:
        document = as_document(summary, outcome)
        document["usage"] = [vars(sample) for sample in samples]
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print("\n".join(printable(line) for line in _tabs(as_text(summary))))
    if csv_file is not None:
        write_csv(csv_file, outcome)
        _say(f"requests       {csv_file}")
    if plot_file is not None:
        from client.load.plot import draw

        draw(plot_file, outcome, samples)
        _say(f"plot           {plot_file}")
    if album is not None and (sheet := album.write_sheet()) is not None:
        _say(f"pictures       {album.kept} in {album.folder}")
        _say(f"contact sheet  {sheet}")
    if outcome.interrupted:
        _say(f"interrupted: {summary.pictures} of {summary.planned} requests became pictures")
        return EXIT_INTERRUPTED
    return outcome.exit_code


def plan_of(arguments: argparse.Namespace, client: Client) -> Plan:
    """What the options ask for. Raises InputRefusedError."""
    tutorial: str | None = arguments.tutorial
    count: int | None = arguments.requests
    if tutorial is not None and (arguments.rate, arguments.concurrency) != (None, None):
        raise InputRefusedError("--tutorial says how many at a time: leave out -c and --rate")
    if arguments.rate is not None and arguments.concurrency is not None:
        raise InputRefusedError("--rate sends without waiting: leave out -c")
    if arguments.stagger is not None and tutorial != "parallel":
        raise InputRefusedError("--stagger belongs to --tutorial parallel")
    if count is None:
        count = DEFAULT_REQUESTS if tutorial is None else len(TUTORIAL_PROMPTS)
    if not 1 <= count <= MAX_REQUESTS:
        raise InputRefusedError(f"--requests must be from 1 to {MAX_REQUESTS}, not {count}")
    requests = _requests(arguments, client, count)
    if tutorial == "sequential":
        return one_after_another(requests)
    if tutorial == "parallel":
        return (
            staggered(requests)
            if arguments.stagger is None
            else staggered(requests, arguments.stagger)
        )
    if arguments.rate is not None:
        return at_a_rate(requests, arguments.rate, arguments.seed)
    workers = DEFAULT_CONCURRENCY if arguments.concurrency is None else arguments.concurrency
    return at_a_time(requests, workers)


def _requests(arguments: argparse.Namespace, client: Client, count: int) -> list[PictureRequest]:
    """The prompts in turn, each request with a seed of its own."""
    prompts = _prompts(arguments)
    check_seed(arguments.seed, count)
    return [
        client.prepare(
            prompts[i % len(prompts)],
            negative_prompt=arguments.negative_prompt,
            num_steps=arguments.steps,
            guidance_scale=arguments.guidance_scale,
            seed=arguments.seed + i,
        )
        for i in range(count)
    ]


def _prompts(arguments: argparse.Namespace) -> Sequence[str]:
    if arguments.prompt is not None:
        return [arguments.prompt]
    if arguments.prompts is None:
        return TUTORIAL_PROMPTS
    path = Path(arguments.prompts)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PictureFileError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise PictureFileError(f"{path} is not UTF-8 text: choose another") from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise PictureFileError(f"{path} holds no prompt: write one on each line")
    return prompts


@contextmanager
def _usage(service: Service, *, wanted: bool) -> Generator[Sequence[Sample]]:
    """CPU and memory of the servers, as a list that fills while this is open."""
    watch = None
    with ExitStack() as watching:
        if wanted:
            from client.load.usage import NotMeasurableError, monitor

            try:
                watch = watching.enter_context(monitor(service.client.endpoints, service.stack))
            except NotMeasurableError as error:
                _say(f"CPU and memory are not measured: {error}")
        yield watch.samples if watch is not None else []
    if watch is not None and watch.problem:
        _say(f"CPU and memory were not measured to the end: {watch.problem}")


def _output_file(text: str | None) -> Path | None:
    """The file of an option, in a folder that is there."""
    if text is None:
        return None
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise PictureFileError(f"cannot write {path}: it must be a file in a folder that exists")
    return path


def _tabs(text: str) -> list[str]:
    """Lines with their tabs as spaces: a terminal's escapes are shown, and a tab is one."""
    return [line.expandtabs(16) for line in text.splitlines()]


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr)
