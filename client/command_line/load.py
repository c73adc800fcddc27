"""The command `load`: its plan from the options, its progress, and its output."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from client.api import Client
from client.command_line import progress
from client.command_line.connection import Service, connect
from client.command_line.recording import recording
from client.errors import PictureFileError
from client.exit_codes import EXIT_CODES, EXIT_DONE, EXIT_INTERRUPTED
from client.load.plan import (
    TUTORIAL_PROMPTS,
    Plan,
    at_a_rate,
    at_a_time,
    one_after_another,
    staggered,
)
from prediction.errors import InputRefusedError, printable
from prediction.limits import PictureRequest, check_seed
from prediction.model_status import not_ready

if TYPE_CHECKING:
    from client.load.album import Album
    from client.load.usage import Sample

DEFAULT_REQUESTS = 50
DEFAULT_CONCURRENCY = 5
MAX_REQUESTS = 1_000_000


def load(arguments: argparse.Namespace) -> int:
    """Load-test the service, and report latency, throughput and failures."""
    # Imports requests, psutil and csv, which `--help` and other commands do not need.
    from client.load.album import Album
    from client.load.report import as_document, as_text, write_csv
    from client.load.run import Load
    from client.load.summary import summarize

    service = connect(arguments)
    client = service.client
    plan = plan_of(arguments, client)
    csv_file, plot_file = _output_file(arguments.csv), _output_file(arguments.plot)
    folder: Path | None = arguments.record
    if plot_file is not None:
        from client.load.plot import require_drawing

        require_drawing(plot_file)
    album = None if arguments.keep is None else Album(arguments.keep)
    problem = not_ready(client.endpoint, client.model_name, client.status())
    if problem is not None:
        raise problem
    run = Load(client, plan, retry=arguments.retry, keep=album.keep if album else None)
    with (
        recording(client, wanted=folder is not None) as readings,
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
        print("\n".join(printable(line) for line in _expand_tabs(as_text(summary))))
    written = True
    if csv_file is not None:
        written &= _written("requests", csv_file, lambda: write_csv(csv_file, outcome))
    if plot_file is not None:
        from client.load.plot import draw

        written &= _written("plot", plot_file, lambda: draw(plot_file, outcome, samples))
    if folder is not None and readings:
        from client.load.recording import write

        written &= _written_as("recording", lambda: write(readings, folder))
    if album is not None:
        written &= _written_album(album)
    if outcome.interrupted:
        client.close()
        _note(f"interrupted: {summary.pictures} of {summary.planned} requests succeeded")
        return EXIT_INTERRUPTED
    if outcome.exit_code == EXIT_DONE and not written:
        return EXIT_CODES[InputRefusedError]
    return outcome.exit_code


def _written(name: str, path: Path, write: Callable[[], object]) -> bool:
    """Whether an additional file was written. One that cannot be must not cost the others."""

    def written() -> str:
        write()
        return str(path)

    return _written_as(name, written)


def _written_as(name: str, write: Callable[[], str]) -> bool:
    """As `_written`; write: returns what is said of it."""
    try:
        said = write()
    except PictureFileError as error:
        _note(f"error: {error}")
        return False
    _note(f"{name:13}  {said}")
    return True


def _written_album(album: Album) -> bool:
    """Whether all pictures were kept, and their contact sheet."""
    if album.kept:
        _note(f"pictures       {album.kept} in {album.folder}")
    if album.lost:
        pictures = "1 picture was" if album.lost == 1 else f"{album.lost} pictures were"
        _note(f"error: {pictures} not saved: {album.problem}")
    try:
        sheet = album.write_sheet()
    except PictureFileError as error:
        if not album.lost:
            _note(f"error: {error}")
        return False
    if sheet is not None:
        _note(f"contact sheet  {sheet}")
    return album.lost == 0


def plan_of(arguments: argparse.Namespace, client: Client) -> Plan:
    """The plan that the options describe. Raises InputRefusedError."""
    tutorial: str | None = arguments.tutorial
    count: int | None = arguments.requests
    if tutorial is not None and (arguments.rate, arguments.concurrency) != (None, None):
        raise InputRefusedError("--tutorial sets the concurrency: leave out -c and --rate")
    if arguments.rate is not None and arguments.concurrency is not None:
        raise InputRefusedError("--rate and -c exclude each other: leave one out")
    if arguments.stagger is not None and tutorial != "parallel":
        raise InputRefusedError("--stagger needs --tutorial parallel")
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
    """The prompts in turn, each request with its own seed."""
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
        raise PictureFileError(f"{path} is not UTF-8 text: choose another file") from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise PictureFileError(f"{path} contains no prompts: write one per line")
    return prompts


@contextmanager
def _usage(service: Service, *, wanted: bool) -> Generator[Sequence[Sample]]:
    """Samples of the servers' CPU and memory, in a list that grows while this is open."""
    watch = None
    with ExitStack() as watching:
        if wanted:
            from client.load.usage import NotMeasurableError, monitor

            try:
                watch = watching.enter_context(monitor(service.client.endpoints, service.stack))
            except NotMeasurableError as error:
                _note(f"CPU and memory are not measured: {error}")
        yield watch.samples if watch is not None else []
    if watch is not None and watch.problem:
        _note(f"measuring CPU and memory stopped early: {watch.problem}")


def _output_file(text: str | None) -> Path | None:
    """The path that an option gives; its folder must exist."""
    if text is None:
        return None
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise PictureFileError(f"cannot write {path}: give a file name in an existing folder")
    return path


def _expand_tabs(text: str) -> list[str]:
    """Lines with tabs expanded, because `printable` would escape them."""
    return [line.expandtabs(16) for line in text.splitlines()]


def _note(line: str) -> None:
    print(printable(line), file=sys.stderr)
