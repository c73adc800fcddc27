"""The wheels of the lock, fetched by pip for Linux whatever this machine is, and kept."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from container_image.errors import ImageError, StoppedError
from container_image.lock import Locked, checksum_of, name_of, parse

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""Those that a base image of Debian 11, or younger, can run."""
_LIMIT_SECONDS = 900.0
_POLL_SECONDS = 0.1
_MOST_MESSAGE = 300


def wheels(
    lock: Path, python: str, cache: Path, stopped: threading.Event, say: Callable[[object], None]
) -> list[Path]:
    """A checked wheel of each package of the lock, for this version of Python."""
    packages = parse(lock.read_text(encoding="utf-8"))
    folder = cache / f"wheels-{python}"
    folder.mkdir(parents=True, exist_ok=True)
    if _found(packages, folder).keys() < {one.name for one in packages}:
        say(f"downloading {len(packages)} packages for Linux with Python {python}")
        with tempfile.TemporaryDirectory(dir=cache) as downloaded:
            download(lock, python, Path(downloaded), stopped)
            for wheel in Path(downloaded).iterdir():
                wheel.replace(folder / wheel.name)
    found = _found(packages, folder)
    missing = [one.name for one in packages if one.name not in found]
    if missing:
        raise ImageError(f"{lock} has no wheel of {missing[0]} for Python {python}: `make lock`")
    return [found[one.name] for one in packages]


def download(requirements: Path, python: str, folder: Path, stopped: threading.Event) -> None:
    """Run pip, with the user's own settings of it. Raises ImageError."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--no-deps", "--only-binary=:all:", "--implementation=cp"]
    command += [f"--platform={platform}" for platform in _PLATFORMS]
    command += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    command += [f"--python-version={python}", f"--dest={folder}", f"--requirement={requirements}"]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait(process, stopped)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            output.seek(0)
            raise ImageError(f"pip cannot download the packages: {_reason(output.read())}")


def _wait(process: subprocess.Popen[bytes], stopped: threading.Event) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while process.poll() is None:
        if stopped.wait(_POLL_SECONDS):
            raise StoppedError("stopped")
        if time.monotonic() > deadline:
            raise ImageError(
                f"pip has not downloaded the packages in {_LIMIT_SECONDS / 60:.0f} minutes: check "
                "the network and pip's settings, and run it again"
            )


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return " ".join((errors or lines or ["it says nothing"])[0].split())[:_MOST_MESSAGE]


def _found(packages: list[Locked], folder: Path) -> dict[str, Path]:
    """Of each package the wheel that the lock knows."""
    checksums = {one.name: one.checksums for one in packages}
    return {
        name: wheel
        for wheel in sorted(folder.glob("*.whl"))
        if (name := name_of(wheel)) in checksums and checksum_of(wheel) in checksums[name]
    }
