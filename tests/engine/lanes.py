"""Lanes: copies of one stack, each updated by the embedded engine, the official one, or both.

A batch is several independent programs in one stack, so that they share the start of an engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from engine.command_line.cli import main
from engine.project.passphrase import Crypter
from engine.state import checkpoint
from tests.engine import states
from tests.engine.generated import REFRESHED_STEPS, History

INTERPRETER = Path(__file__).with_name("interpreted")
EMBEDDED, OFFICIAL = "embedded", "official"
# The engine of each step; the last two lanes start as copies of the first two.
LANES: dict[str, Callable[[int], str]] = {
    "embedded only": lambda step: EMBEDDED,
    "official only": lambda step: OFFICIAL,
    "in turns, embedded first": lambda step: (EMBEDDED, OFFICIAL)[step % 2],
    "in turns, official first": lambda step: (OFFICIAL, EMBEDDED)[step % 2],
}
STARTED_AS_COPY_OF = {
    "in turns, embedded first": "embedded only",
    "in turns, official first": "official only",
}
RUN_SECONDS = 600.0
DRIFTED_SIZE = 99
NOTES_TYPE = "things:index:Notes"
SHOWN_CHARACTERS = 2000


@dataclass(frozen=True)
class Outcome:
    """The result of a step."""

    succeeded: bool
    rows: list[dict[str, Any]]
    cloud: dict[str, str]
    calls: list[str]
    output: str

    def without_notes(self) -> Outcome:
        """Without outputs that a component registers once those of other resources are known.

        Whether that comes before a failure elsewhere differs from run to run.
        """
        rows = [
            {key: value for key, value in row.items() if key != "outputs"}
            if row["type"] == NOTES_TYPE
            else row
            for row in self.rows
        ]
        return replace(self, rows=rows)

    def without_deletions(self) -> Outcome:
        return replace(self, calls=[one for one in self.calls if not one.startswith("delete ")])


class Lane:
    """A project folder with its own state and cloud."""

    def __init__(self, folder: Path, environment: Mapping[str, str], python: Path) -> None:
        self.folder = folder
        self.environment = {
            **environment,
            "PULUMI_BACKEND_URL": f"file://{folder}/state",
            "PULUMI_PYTHON_CMD": str(python),
        }
        self._python = python

    @staticmethod
    def make(folder: Path, environment: Mapping[str, str], python: Path) -> Lane:
        """A lane with the empty stack `dev`. python: the interpreter of both engines."""
        shutil.copytree(INTERPRETER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("cloud", "serials"):
            (folder / name).mkdir()
        lane = Lane(folder, environment, python)
        code, output = lane.engine(EMBEDDED, "stack", "select", "--create", "dev")
        assert code == 0, output
        return lane

    def copy(self, folder: Path) -> Lane:
        shutil.copytree(self.folder, folder)
        return Lane(folder, self.environment, self._python)

    def run(
        self,
        engine: str,
        verb: str,
        programs: Mapping[str, list[dict[str, Any]]],
        trouble: list[str] | None,
        *,
        refresh: bool,
    ) -> Outcome:
        """Run the programs' next version and return the result."""
        self.write(programs, trouble)
        calls = self.folder / "calls.txt"
        calls.write_text("")
        flags = ["--yes", "--skip-preview", "--stack", "dev", *(["--refresh"] if refresh else [])]
        code, output = self.engine(engine, verb, *flags)
        deployment = self.deployment()
        return Outcome(
            succeeded=code == 0,
            rows=states.comparable(deployment, _crypter(checkpoint.salt_of(deployment))),
            cloud={file.name: file.read_text() for file in (self.folder / "cloud").iterdir()},
            calls=sorted(calls.read_text().splitlines()),
            output=output,
        )

    def write(
        self, programs: Mapping[str, list[dict[str, Any]]], trouble: list[str] | None
    ) -> None:
        """Set what the program registers, and which call fails."""
        (self.folder / "programs.json").write_text(json.dumps(programs))
        (self.folder / "trouble.json").write_text(json.dumps(trouble))

    def drift(self, label: str, how: str) -> None:
        """Change or delete a resource behind the engines' backs."""
        for file in list((self.folder / "cloud").iterdir()):
            props = json.loads(file.read_text())
            if props["label"] == label and how == "gone":
                file.unlink()
            elif props["label"] == label:
                file.write_text(json.dumps({**props, "size": DRIFTED_SIZE}, sort_keys=True))

    def deployment(self) -> dict[str, Any]:
        file = self.folder / "state/.pulumi/stacks/things/dev.json"
        return json.loads(file.read_text())["checkpoint"].get("latest") or {}

    def engine(self, engine: str, *arguments: str) -> tuple[int, str]:
        """Run a command of an engine; its exit code and output."""
        return (self._embedded if engine == EMBEDDED else self._official)(*arguments)

    def _embedded(self, *arguments: str) -> tuple[int, str]:
        output = io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment),
            mock.patch.object(sys, "executable", str(self._python)),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            code = main(arguments)
        return code, output.getvalue()

    def _official(self, *arguments: str) -> tuple[int, str]:
        ran = subprocess.run(
            ["pulumi", *arguments, "--parallel", "1", "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )
        return ran.returncode, ran.stdout


@contextmanager
def keys_derived_once() -> Generator[None]:
    """Cache the key: all lanes share a salt, and deriving it takes half a second."""
    derive = hashlib.pbkdf2_hmac
    with mock.patch.object(hashlib, "pbkdf2_hmac", lru_cache(derive)):
        yield


@lru_cache
def _crypter(salt: str) -> Crypter:
    return Crypter("", salt)


@dataclass(frozen=True)
class Difference:
    """Two lanes with different states after a step."""

    step: int
    lane: str
    other: str
    text: str
    programs: set[str]  # those with different resources; empty if unknown


def compare(histories: Mapping[str, History], folder: Path, first: Lane) -> Iterator[Difference]:
    """Run a batch of histories in all lanes; the differences after the first step with any.

    The last version runs twice, the second time without trouble, before everything is destroyed.

    first: an empty lane, which all others are copies of.
    """
    steps = max(len(history) for history in histories.values())
    lanes: dict[str, Lane] = {}
    was_partial = False
    for step in range(steps + 2):
        is_last = step == steps + 1
        programs, trouble = _programs_at(histories, min(step, steps - 1))
        if step >= steps:
            trouble = None
        outcomes: dict[str, Outcome] = {}
        for name, engine_at in LANES.items():
            origin = STARTED_AS_COPY_OF.get(name)
            if step == 0 and origin:
                lanes[name] = lanes[origin].copy(folder / name.replace(" ", "-"))
                continue
            if step == 0:
                lanes[name] = first.copy(folder / name.replace(" ", "-"))
            for label, how in _drifts_at(histories, step):
                lanes[name].drift(label, how)
            outcomes[name] = lanes[name].run(
                engine_at(step),
                "destroy" if is_last else "up",
                programs,
                trouble,
                refresh=step in REFRESHED_STEPS,
            )
        # How many deletions precede a failing one differs from run to run, and so how many are left
        # for the next step.
        is_partial = trouble is not None and trouble[1] == "delete"
        if was_partial:
            outcomes = {name: outcome.without_deletions() for name, outcome in outcomes.items()}
        if trouble is not None:
            outcomes = {name: outcome.without_notes() for name, outcome in outcomes.items()}
        shown = {} if is_last else programs
        found = list(_differences(step, outcomes, shown, is_partial=is_partial))
        if found:
            yield from found
            return
        was_partial = is_partial


def _programs_at(
    histories: Mapping[str, History], step: int
) -> tuple[dict[str, list[dict[str, Any]]], list[str] | None]:
    """The programs of a step, those that may fail last, and the call that fails."""
    versions = {name: history[min(step, len(history) - 1)] for name, history in histories.items()}
    order = sorted(versions, key=lambda name: versions[name].troubled)
    trouble = next(
        (
            [f"{name}-{version.fails[0]}", version.fails[1]]
            for name, version in versions.items()
            if version.fails
        ),
        None,
    )
    return {name: [vars(spec) for spec in versions[name].specs] for name in order}, trouble


def _drifts_at(histories: Mapping[str, History], step: int) -> Iterator[tuple[str, str]]:
    for name, history in histories.items():
        if step < len(history) and (drift := history[step].drift):
            yield f"{name}-{drift[0]}", drift[1]


def _differences(
    step: int,
    outcomes: Mapping[str, Outcome],
    programs: Mapping[str, list[dict[str, Any]]],
    *,
    is_partial: bool,
) -> Iterator[Difference]:
    reference = next(iter(outcomes))
    expected = outcomes[reference]
    for name, outcome in outcomes.items():
        problems: list[str] = []
        if outcome.succeeded != expected.succeeded:
            problems.append(f"succeeded: {expected.succeeded}, {outcome.succeeded}")
        if not is_partial:
            problems += _only_in_one(
                [json.dumps(row, sort_keys=True) for row in expected.rows],
                [json.dumps(row, sort_keys=True) for row in outcome.rows],
            )
            problems += _only_in_one(expected.calls, outcome.calls)
            problems += _only_in_one(
                [f"{key}: {value}" for key, value in expected.cloud.items()],
                [f"{key}: {value}" for key, value in outcome.cloud.items()],
            )
        if problems:
            text = "\n".join(problems)
            differing = {label for label in programs if f"{label}-" in text}
            for lane, result in ((reference, expected), (name, outcome)):
                text += f"\n--- the end of what '{lane}' said:\n{result.output[-SHOWN_CHARACTERS:]}"
            yield Difference(step, reference, name, text, differing)


def _only_in_one(left: list[str], right: list[str]) -> list[str]:
    surplus = list(right)
    missing: list[str] = []
    for item in left:
        if item in surplus:
            surplus.remove(item)
        else:
            missing.append(item)
    return [f"  - {item}" for item in missing] + [f"  + {item}" for item in surplus]
