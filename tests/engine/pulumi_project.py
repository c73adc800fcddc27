"""A small Pulumi project in a temporary folder, whose provider keeps its cloud in a JSON file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.command_line.cli import main
from engine.project.passphrase import Crypter
from engine.state import checkpoint
from engine.state.snapshot import Resource

REPOSITORY = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 60.0

# Every method logs its call in calls.txt. Inputs with an effect: `fails` names the method that
# raises, `waits` blocks create or delete until the file `go` exists, `kind` forces a replacement,
# `first` sets its order. Other changed inputs are an update.
CLOUD = '''
import json, os, time, uuid
from pathlib import Path
from typing import Any
import pulumi
from pulumi.dynamic import (
    CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, Resource, ResourceProvider,
    UpdateResult,
)

HERE = Path(__file__).parent

def load():
    return json.loads((HERE / "cloud.json").read_text())

def save(cloud):
    (HERE / "cloud.tmp").write_text(json.dumps(cloud))
    os.replace(HERE / "cloud.tmp", HERE / "cloud.json")

def note(method, props):
    with (HERE / "calls.txt").open("a") as calls:
        calls.write(f"{method} {props.get('label')}\\n")
    if props.get("fails") == method:
        raise RuntimeError(f"{method} is out of order")

def wait(props):
    if props.get("waits"):
        print("waiting for go", flush=True)
        (HERE / "waiting").write_text(str(os.getpid()))
        while not (HERE / "go").exists():
            time.sleep(0.02)

class Cloud(ResourceProvider):
    def configure(self, req):
        self.prefix = req.config.get("prefix") or ""

    def check(self, olds, news):
        note("check", news)
        failures = [CheckFailure("size", "must not be negative")] if news["size"] < 0 else []
        return CheckResult(news, failures)

    def diff(self, id, olds, news):
        note("diff", news)
        keys = [k for k in news if k != "__provider" and olds.get(k) != news[k]]
        keys += [k for k in olds if k not in news and k not in ("__provider", "serial", "url")]
        return DiffResult(
            changes=bool(keys),
            replaces=["kind"] if "kind" in keys else [],
            delete_before_replace=news.get("first") == "delete",
        )

    def create(self, props):
        note("create", props)
        wait(props)
        serial = f"{props['label']}-{uuid.uuid4().hex[:6]}"
        save({**load(), serial: {k: v for k, v in props.items() if k != "__provider"}})
        return CreateResult(serial, self.outputs(serial, props))

    def outputs(self, serial, props):
        return {**props, "serial": serial, "url": f"{self.prefix}{serial}"}

    def read(self, id, props):
        note("read", props)
        cloud = load()
        if id not in cloud:
            return ReadResult("", {})
        return ReadResult(id, self.outputs(id, {**props, **cloud[id]}))

    def update(self, id, olds, news):
        note("update", news)
        save({**load(), id: {k: v for k, v in news.items() if k != "__provider"}})
        return UpdateResult(self.outputs(id, news))

    def delete(self, id, props):
        note("delete", props)
        wait(props)
        cloud = load()
        cloud.pop(id, None)
        save(cloud)

class Plain(Cloud):
    """Has no diff, so the engine compares the inputs."""
    def diff(self, id, olds, news):
        note("diff", news)
        return DiffResult()

class Thing(Resource, module="things", name="Thing"):
    serial: pulumi.Output[Any]
    url: pulumi.Output[Any]
    size: pulumi.Output[Any]
    provider_class = Cloud
    def __init__(self, name, size=1, opts=None, **props):
        props = {"label": name, "size": size, "serial": None, "url": None, **props}
        super().__init__(type(self).provider_class(), name, props, opts)

class PlainThing(Thing, module="things", name="PlainThing"):
    provider_class = Plain
'''
HEADER = """
import pulumi
from pulumi import ResourceOptions as Options
from cloud import PlainThing, Thing
config = pulumi.Config()
"""


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class PulumiProject:
    """A project with the stack `dev`, and the commands to run on it."""

    def __init__(
        self, folder: Path, capture: Callable[[], tuple[str, str]], virtualenv: Path
    ) -> None:
        """virtualenv: the folder whose `bin/python` runs the program and the provider."""
        self.folder = folder
        self._capture = capture
        self.set_runtime(f"{{name: python, options: {{virtualenv: {virtualenv}}}}}")
        (folder / "cloud.py").write_text(CLOUD)
        (folder / "cloud.json").write_text("{}")

    # -- files ------------------------------------------------------------------------------

    def set_runtime(self, runtime: str) -> None:
        (self.folder / "Pulumi.yaml").write_text(f"name: things\nruntime: {runtime}\n")

    def change_provider(self, old: str, new: str) -> None:
        """Replace a part of the provider's code."""
        file = self.folder / "cloud.py"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def program(self, body: str) -> None:
        (self.folder / "__main__.py").write_text(HEADER + body)

    def config(self, **values: object) -> None:
        """Set config values of the stack, keeping its salt."""
        file = self.folder / "Pulumi.dev.yaml"
        content: dict[str, Any] = yaml.safe_load(file.read_text()) if file.exists() else {}
        given = {f"things:{key}": value for key, value in values.items()}
        content["config"] = {**content.get("config", {}), **given}
        file.write_text(yaml.safe_dump(content))

    @property
    def backend(self) -> Path:
        return self.folder / "state" / ".pulumi"

    @property
    def checkpoint(self) -> Path:
        return self.backend / "stacks" / "things" / "dev.json"

    @property
    def locks(self) -> Path:
        return self.backend / "locks" / "organization" / "things" / "dev"

    @property
    def cloud(self) -> dict[str, dict[str, Any]]:
        """The existing resources, by label."""
        items: dict[str, dict[str, Any]] = json.loads((self.folder / "cloud.json").read_text())
        return {str(props["label"]): props for props in items.values()}

    @property
    def cloud_ids(self) -> set[str]:
        return set(json.loads((self.folder / "cloud.json").read_text()))

    def change_cloud(self, change: Callable[[dict[str, Any]], None]) -> None:
        file = self.folder / "cloud.json"
        cloud = json.loads(file.read_text())
        change(cloud)
        file.write_text(json.dumps(cloud))

    def calls(self) -> list[str]:
        """The provider calls since the last time."""
        file = self.folder / "calls.txt"
        if not file.exists():
            return []
        lines = file.read_text().splitlines()
        file.unlink()
        return lines

    def deployment(self) -> dict[str, Any]:
        return json.loads(self.checkpoint.read_text())["checkpoint"].get("latest") or {}

    def resources(self) -> dict[str, Resource]:
        """The decrypted resources in the state by name, except those pending deletion."""
        deployment = self.deployment()
        crypter = Crypter("", checkpoint.salt_of(deployment))
        entries = checkpoint.load(deployment, crypter).resources
        return {entry.name: entry for entry in entries if not entry.delete}

    # -- commands ---------------------------------------------------------------------------

    def run(self, *arguments: str) -> Ran:
        """Run a command of the engine in this process."""
        self._capture()
        code = main([*arguments, "-C", str(self.folder)])
        out, err = self._capture()
        return Ran(code, out, err)

    def up(self, *arguments: str) -> Ran:
        """`up --yes`, which must succeed."""
        ran = self.run("up", "--yes", *arguments)
        assert ran.code == 0, ran.text
        return ran

    @contextmanager
    def started(
        self, *arguments: str, through: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[str]]:
        """A command of the engine in its own process, killed at the end if it still runs.

        through: a command that becomes the engine's, as `nohup` does.
        """
        process = subprocess.Popen(
            [*through, sys.executable, "-m", "engine", *arguments, "-C", str(self.folder)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def wait_until_waiting(self, process: subprocess.Popen[str]) -> int:
        """Wait until the provider waits for `go`, and return its PID."""
        file = self.folder / "waiting"
        wait_for(lambda: (file.exists() and file.read_text() != "") or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        pid = int(file.read_text())
        file.unlink()
        return pid

    def go(self) -> None:
        (self.folder / "go").touch()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a limit."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)
