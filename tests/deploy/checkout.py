"""Copies of the checkout with their own ports, so that tests do not affect a running stack."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from infra.local.server_record import SERVER_NAMES
from tests.infra.local import quick_server
from tests.processes import free_ports

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    *("__main__.py", "Makefile", "LICENSE"),
    *("Pulumi.yaml", "Pulumi.local.yaml", "Pulumi.dev.yaml"),
)
# What the virtual environment was made from: make compares their times with its own.
REQUIREMENTS = ("requirements.txt", "constraints.txt")
COMMAND_TIMEOUT_SECONDS = 600
_PROVIDER = "pulumi-resource-pulumi-python"
MAKE_VARIABLES = {"ARGS", "ENGINE", "OUT", "PROMPT", "STACK"}
"""Settings that count on make's command line, and not in the environment."""


@dataclass(frozen=True)
class Checkout:
    """A copied checkout, and how to run its commands."""

    folder: Path
    rest_port: int
    grpc_port: int
    web_port: int
    web_metrics_port: int
    engine: str

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """`make …`, running in its own process group."""
        return subprocess.Popen(
            ["make", *arguments, *self._settings(variables)],
            cwd=self.folder,
            env=self._environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def make(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """The output of `make …`; fails the test unless it exits with `code`."""
        process = self.start(*arguments, **variables)
        try:
            output, _ = process.communicate(timeout=COMMAND_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            raise
        succeeded = process.returncode == 0
        assert succeeded == (code == 0), f"make {' '.join(arguments)}:\n{output}"
        return output

    def set(self, key: str, value: object) -> None:
        """Change a setting of the local stack, like `pulumi config set`."""
        path = self.folder / "Pulumi.local.yaml"
        content: dict[str, Any] = yaml.safe_load(path.read_text())
        content["config"][f"diffusion-serving:{key}"] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def take_over(self, engine: str) -> None:
        """`make up` by this engine, which has nothing to do and leaves the servers alone."""
        pids, models = (self.server_pid(), self.web_pid()), self.models()
        assert models
        output = self.make("up", ENGINE=engine)
        assert "unchanged" in output
        for word in ("created", "updated", "replaced", "deleted"):
            assert word not in output
        assert ((self.server_pid(), self.web_pid()), self.models()) == (pids, models)

    def lay(self, source: Path) -> None:
        """Put the code of `source` in place of what is here; the state stays, and the ports."""
        for package in _packages(self.folder):
            shutil.rmtree(package)
        for package in _packages(source):
            ignored = shutil.ignore_patterns("__pycache__", "train.py")
            shutil.copytree(package, self.folder / package.name, ignore=ignored)
        for part in PARTS:
            shutil.copy2(source / part, self.folder / part)
        self.set("restPort", self.rest_port)
        self.set("grpcPort", self.grpc_port)
        if "webPort:" in (source / "Pulumi.yaml").read_text():  # earlier commits lack it
            self.set("webPort", self.web_port)
            self.set("webMetricsPort", self.web_metrics_port)

    def server_pid(self) -> int:
        """The recorded model server's process id."""
        return self._pid("server")

    def web_pid(self) -> int:
        """The recorded web service's process id."""
        return self._pid("web")

    def _pid(self, name: str) -> int:
        record = json.loads((self.folder / f".state/{name}/server.json").read_text())
        return int(record["pid"])

    def by_hand(self, *arguments: str) -> str:
        """The output of an engine's command, typed after `eval "$(make env)"`."""
        engine = "pulumi" if self.engine == "pulumi" else ".venv/bin/python -m engine"
        command = f'eval "$(make env)"; {engine} {" ".join(arguments)} --stack local'
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env={**os.environ, "PULUMI_HOME": str(self.folder / ".pulumi-home")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """The running processes with this checkout as working directory."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                here = Path(process.cwd()) == self.folder
                if here and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def stop_orphaned_plugins(self) -> None:
        """Stop the plugins of official CLIs that were killed: they do not end by themselves."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                words = " ".join(process.cmdline())
                if process.ppid() == 1 and ("pulumi-language-" in words or _PROVIDER in words):
                    for one in (*process.children(recursive=True), process):
                        one.kill()
                        one.wait(10)

    def add_model(self, model: Path, name: str = "") -> None:
        """Publish a copy of this model here, which `make up` then finds."""
        copy = self.folder / ".state/models" / (name or model.name)
        shutil.copytree(model, copy, copy_function=os.link)

    def models(self) -> list[str]:
        """The published model folders, complete or not."""
        folder = self.folder / ".state/models"
        return sorted(p.name for p in folder.glob("*")) if folder.exists() else []

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PULUMI_", "MAKE", "MFLAGS"))
        }
        home = str(self.folder / ".pulumi-home")
        given = {name: value for name, value in variables.items() if name not in MAKE_VARIABLES}
        return {**kept, "PULUMI_HOME": home, **given}

    def _settings(self, variables: dict[str, str]) -> list[str]:
        given = {name: value for name, value in variables.items() if name in MAKE_VARIABLES}
        return [f"{name}={value}" for name, value in {"ENGINE": self.engine, **given}.items()]


def copy_checkout(folder: Path, engine: str, source: Path = ROOT) -> Checkout:
    """A checkout in `folder` of the code in `source` that shares this one's environment."""
    folder.mkdir(parents=True)
    for name in REQUIREMENTS:
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    checkout = Checkout(folder, *free_ports(4), engine)
    checkout.lay(source)
    return checkout


def copy_with_quick_servers(folder: Path, engine: str, model: Path) -> Checkout:
    """A checkout whose stack `local` is up, with stand-ins for its servers."""
    made = copy_checkout(folder, engine)
    for module in SERVER_NAMES:
        shutil.rmtree(made.folder / module)
    quick_server.write(made.folder)
    made.add_model(model)
    made.by_hand("stack", "select", "--create")
    made.by_hand("up", "--yes")
    return made


def archived_code(commit: str, folder: Path) -> Path | None:
    """The code of a commit, unpacked into `folder`; None where the history lacks it."""
    archive = folder.with_suffix(".zip")
    command = ["git", "archive", f"--output={archive}", commit]
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    shutil.unpack_archive(archive, folder)
    return folder


def _packages(folder: Path) -> list[Path]:
    """The Python packages of a checkout."""
    return [init.parent for init in folder.glob("*/__init__.py")]
