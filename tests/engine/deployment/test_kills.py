"""SIGKILL at random times: the next operation converges, and nothing is orphaned.

ENGINE_KILLS sets their number, ENGINE_SEED the random seed: a failure names its seed and kill.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.project import passphrase
from tests.engine import forks
from tests.engine.interpreted.folder_cloud import COMPUTED
from tests.engine.lanes import EMBEDDED, Lane
from tests.engine.pulumi_project import REPOSITORY, wait_for

FEW_KILLS = 4
MANY_KILLS = 100
SEED = int(os.environ.get("ENGINE_SEED", "1"))
KILL_SECONDS = 180.0
PAUSE_SECONDS = 0.05  # twice in each changing call
UP = ("up", "--refresh", "--yes", "--skip-preview")
OPERATIONS = {
    "up": UP,
    "destroy": ("destroy", "--yes", "--skip-preview"),
    "refresh": ("refresh", "--yes", "--skip-preview"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs Linux's /proc"),
]

Programs = dict[str, list[dict[str, Any]]]
Happened = Callable[[], bool]


@pytest.fixture
def lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    """A stack with cheap key derivation and a slow provider."""
    monkeypatch.setattr(passphrase, "_PBKDF2_ITERATIONS", 1)
    environment = {"PULUMI_HOME": str(tmp_path / "home"), "PULUMI_CONFIG_PASSPHRASE": ""}
    with forks.interpreter(tmp_path) as python:
        lane = Lane.make(tmp_path / "project", environment, python)
        (lane.folder / "pause").write_text(str(PAUSE_SECONDS))
        (lane.folder / "serials").rmdir()  # makes IDs depend on the inputs only
        yield lane


def some_program(chance: random.Random) -> Programs:
    """A program with updates, replacements in both orders, dependents, additions and removals."""

    def spec(label: str, **inputs: Any) -> dict[str, Any]:
        options = inputs.pop("options", {})
        form = inputs.pop("form", "thing")
        return {
            "label": label,
            "name": label,
            "form": form,
            "type": "Group",
            "inputs": inputs,
            "options": options,
            "formerly": [],
        }

    kind, size = chance.choice("xyz"), chance.randrange(3)
    reference = {"$of": "a", "key": "serial"}
    optional = [
        spec("e", size=size, kind=chance.choice("xy"), options={"parent": "g"}),
        spec("f", size=0, of=reference, options={"depends_on": ["b"]}),
    ]
    return {
        "p": [
            spec("g", form="group", size=size),
            spec("a", size=size, kind=kind, first=chance.choice(["delete", "create"])),
            spec("b", size=1, of=reference),
            spec("c", size=size, kind=reference, options={"parent": "g"}),
            *(one for one in optional if chance.random() < 0.6),
        ]
    }


class Killing:
    """Runs operations on one stack and kills them midway."""

    def __init__(self, lane: Lane, chance: random.Random) -> None:
        self._lane = lane
        self._chance = chance
        self.in_flight: Counter[str] = Counter()  # pending operations at the kill
        self._seconds = dict.fromkeys(OPERATIONS, 3.0)

    def kill_one(self, programs: Programs) -> None:
        """Kill an operation, and check that the next one converges."""
        lane, chance = self._lane, self._chance
        lane.write(programs, None)
        operation = chance.choice(["up", "up", "destroy", "refresh"])
        if operation != "up" and not any(self.state()):
            self.run("up")
        pending = self._killed(operation)
        self.in_flight[f"{operation} while {pending or 'idle'}"] += 1
        wait_for(lambda: not list(processes_in(lane.folder)))
        self.assert_readable()
        following = chance.choice(["up", "destroy"])
        self.run(following)
        if following == "destroy" and pending == "creating":
            # The creation is pending in the state, and `up` completes it.
            assert self.folder().items() <= self.pending_creates().items()
            self.run("up")
        assert self.folder() == self.state()
        assert not self.pending_creates()

    def _killed(self, operation: str) -> str:
        """Kill an operation; the type of its pending operation, if any."""
        calls = self._lane.folder / "calls.txt"
        calls.write_text("")
        started = time.monotonic()
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys\nfrom engine.command_line import cli\n"
                "from engine.project import passphrase\n"
                "passphrase._PBKDF2_ITERATIONS = 1\nsys.exit(cli.main())",
                *OPERATIONS[operation],
                "--cwd",
                str(self._lane.folder),
            ],
            cwd=REPOSITORY,
            env={**os.environ, **self._lane.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            is_time = self._kill_time(operation, started, calls)
            while process.poll() is None and not is_time():
                time.sleep(0.005)
            if process.poll() is None:
                process.kill()
                process.wait()
            else:
                self._seconds[operation] = time.monotonic() - started
                return "over"
        finally:
            process.kill()
            process.wait()
        operations = self._lane.deployment().get("pending_operations", [])
        fresh = [one["type"] for one in operations]
        return fresh[0] if fresh else ""

    def _kill_time(self, operation: str, started: float, calls: Path) -> Happened:
        """When to kill: at a random time, or shortly after a random provider call starts."""
        if self._chance.random() < 0.3:
            due = started + self._chance.uniform(0, self._seconds[operation])
            return lambda: time.monotonic() >= due
        count = self._chance.randrange(1, 7)
        delay = self._chance.uniform(0, 2 * PAUSE_SECONDS)

        def happened() -> bool:
            if len(calls.read_text().splitlines()) < count:
                return False
            time.sleep(delay)
            return True

        return happened

    def run(self, operation: str) -> None:
        code, output = self._lane.engine(EMBEDDED, *OPERATIONS[operation])
        assert code == 0, output

    def folder(self) -> dict[str, Any]:
        """The existing resources: inputs by ID."""
        files = (self._lane.folder / "cloud").iterdir()
        return {file.stem: json.loads(file.read_text()) for file in files}

    def state(self) -> dict[str, Any]:
        """The resources in the state: inputs by ID."""
        return {
            entry["id"]: {
                key: value for key, value in entry["outputs"].items() if key not in COMPUTED
            }
            for entry in self._lane.deployment().get("resources", [])
            if entry["type"].startswith("pulumi-python:dynamic")
        }

    def pending_creates(self) -> dict[str, Any]:
        operations = self._lane.deployment().get("pending_operations", [])
        inputs = [one["resource"]["inputs"] for one in operations if one["type"] == "creating"]
        return {
            f"{given['label']}-{given.get('kind')}": {
                key: value for key, value in given.items() if key not in COMPUTED
            }
            for given in inputs
        }

    def assert_readable(self) -> None:
        """Every file left by the kill is complete."""
        for pattern in ("*.json", "*.bak", "*.yaml"):
            for file in (self._lane.folder / "state").rglob(pattern):
                assert file.read_text().strip(), f"{file} is empty"
                if file.suffix != ".yaml":
                    json.loads(file.read_text())


def processes_in(folder: Path) -> Iterator[int]:
    """The processes with this working directory: programs and providers."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has exited, or belongs to another user
            if (entry / "cwd").readlink() == folder:
                yield int(entry.name)


def kill_many(lane: Lane, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    killing = Killing(lane, random.Random(SEED))
    for number in range(kills):
        try:
            killing.kill_one(some_program(random.Random(f"{SEED} {number}")))
        except AssertionError as error:
            error.add_note(f"at kill {number} of seed {SEED}")
            raise
    killing.run("destroy")
    assert killing.folder() == killing.state() == {}
    with capsys.disabled():
        print(f"\n{kills} kills of seed {SEED}: {dict(sorted(killing.in_flight.items()))}")


@pytest.mark.timeout(FEW_KILLS * KILL_SECONDS)
def test_a_few_kills_orphan_nothing(lane: Lane, capsys: pytest.CaptureFixture[str]) -> None:
    kill_many(lane, int(os.environ.get("ENGINE_KILLS", FEW_KILLS)), capsys)


@pytest.mark.long
@pytest.mark.timeout(MANY_KILLS * KILL_SECONDS)
def test_a_hundred_kills_orphan_nothing(lane: Lane, capsys: pytest.CaptureFixture[str]) -> None:
    kill_many(lane, MANY_KILLS, capsys)
