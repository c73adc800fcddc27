"""Generated programs, edited six times: both engines produce the same states after every step.

Each program runs with the embedded engine only, with the official CLI only, and with both in turns,
either one first. A batch of programs shares a stack, and so the starts of the engines; the first
batch always runs, the others are the long form. Settings:

    ENGINE_PROGRAMS=300     number of programs
    ENGINE_FIRST_PROGRAM=0  the first program, to resume a run or split it among processes
    ENGINE_BATCH=12         programs per batch
    ENGINE_REPLAY=FILE      run only the programs in this file, written by a failure
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engine import forks, generated, lanes
from tests.engine.generated import History
from tests.engine.lanes import Lane

EDITS = 6
PROGRAMS = int(os.environ.get("ENGINE_PROGRAMS", "300"))
FIRST = int(os.environ.get("ENGINE_FIRST_PROGRAM", "0"))
BATCH = int(os.environ.get("ENGINE_BATCH", "12"))
REPLAY = os.environ.get("ENGINE_REPLAY", "")
BATCH_SECONDS = 3600.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(BATCH_SECONDS),
    pytest.mark.skipif(
        shutil.which("pulumi") is None, reason="the official Pulumi CLI is not on PATH"
    ),
]


@pytest.fixture(scope="module")
def empty_lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    folder = tmp_path_factory.mktemp("lanes")
    environment = {
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    with lanes.keys_derived_once(), forks.interpreter(folder) as python:
        yield Lane.make(folder / "empty", environment, python)


def batch_of(first: int, count: int) -> dict[str, History]:
    """The programs from `first` on. In every other step, one of them may fail."""
    written = generated.generate(count, first, EDITS)
    return {
        f"p{first + place}": history.with_trouble_at(place if place % 2 else None)
        for place, history in enumerate(written)
    }


def compare(histories: Mapping[str, History], folder: Path, empty_lane: Lane) -> None:
    """Fail with the first difference and the programs that cause it."""
    for difference in lanes.compare(histories, folder, empty_lane):
        differing = {
            name: generated.to_json(history)
            for name, history in histories.items()
            if name in difference.programs or not difference.programs
        }
        file = folder / "replay.json"
        file.write_text(json.dumps(differing))
        pytest.fail(
            f"step {difference.step}: '{difference.lane}' and '{difference.other}' differ\n"
            f"{difference.text}\n"
            f"ENGINE_REPLAY={file} repeats it:\n{file.read_text()}",
            pytrace=False,
        )


@pytest.mark.skipif(not REPLAY, reason="ENGINE_REPLAY is not set")
def test_both_engines_agree_on_programs_that_once_failed(tmp_path: Path, empty_lane: Lane) -> None:
    histories = json.loads(Path(REPLAY).read_text())
    compare(
        {name: generated.from_json(versions) for name, versions in histories.items()},
        tmp_path,
        empty_lane,
    )


def batches() -> Iterator[Any]:
    for first in range(FIRST, PROGRAMS, BATCH):
        last = min(first + BATCH, PROGRAMS) - 1
        marks = [] if first == FIRST else [pytest.mark.long]
        yield pytest.param(first, last, id=f"programs {first} to {last}", marks=marks)


@pytest.mark.skipif(bool(REPLAY), reason="ENGINE_REPLAY is set")
@pytest.mark.parametrize(("first", "last"), list(batches()))
def test_both_engines_agree_on_generated_programs(
    first: int,
    last: int,
    tmp_path: Path,
    empty_lane: Lane,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started = time.monotonic()
    histories = batch_of(first, last - first + 1)
    compare(histories, tmp_path, empty_lane)
    shutil.rmtree(tmp_path)
    seconds = time.monotonic() - started
    registrations = sum(len(version.specs) for history in histories.values() for version in history)
    with capsys.disabled():
        print(
            f"\nprograms {first} to {last} of {PROGRAMS}: equal after each of {EDITS} edits, an "
            f"update without changes and the end, {registrations} registrations in each of "
            f"{len(lanes.LANES)} lanes, {seconds / len(histories):.1f} s a program",
            flush=True,
        )


def test_generated_programs_are_the_same_every_time() -> None:
    first, again = (batch_of(100, 4) for _ in range(2))
    assert first == again
    copies = {name: generated.to_json(history) for name, history in first.items()}
    assert {name: generated.from_json(versions) for name, versions in copies.items()} == first
