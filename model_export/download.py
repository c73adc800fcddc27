"""Large files over HTTP: resumed where they stopped, kept once, and checked before use.

Written out, as no library does all of it for any address: pooch and Keras begin again from nothing,
huggingface_hub knows its own hub alone, and urllib3's retries end where the body begins.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_export.checksums import Checksums, OnBytes, sha256_of

_RECEIVED_BYTES = 1 << 16
"""At a time. A connection that breaks loses what it had of these."""
CHECKSUMS_NAME = ".checksums.json"
"""In the folder of downloads: what has been checked already."""

_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_RETRY_PAUSES_SECONDS = (1.0, 3.0, 10.0, 30.0)
"""Between tries that brought nothing. A try that brought something starts the count again."""


class WeightsError(RuntimeError):
    """Weights that are missing, damaged or out of reach; the message is the line to show."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of known content. size_bytes is an estimate, for showing progress."""

    name: str
    url: str
    sha256: str
    size_bytes: int


def download(file: RemoteFile, folder: Path, on_bytes: OnBytes = lambda _done: None) -> Path:
    """The file in folder, whole and checked; what is missing of it is downloaded.

    on_bytes is told how many bytes are there. Raises WeightsError, or OSError for the disk. Two
    downloads of one file wait for each other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file.name
    checksums = Checksums(folder / CHECKSUMS_NAME)
    with _locked(folder / f".{file.name}.lock"):
        if target.exists():
            if checksums.sha256(target, on_bytes) == file.sha256:
                return target
            target.unlink()
        part = folder / f"{file.name}.part"
        resumed = part.exists()
        _complete(file, part, on_bytes)
        if resumed and sha256_of(part) != file.sha256:
            # What an earlier run left was of another content: once more, from nothing.
            part.unlink()
            _complete(file, part, on_bytes)
        if sha256_of(part) != file.sha256:
            part.unlink()
            raise WeightsError(
                f"{file.url} is not the file that was expected (SHA-256 differs): try again, or "
                "get it another way and give its folder as weights"
            )
        part.replace(target)
    return target


def verified(
    path: Path, file: RemoteFile, checksums: Checksums, on_bytes: OnBytes = lambda _done: None
) -> Path:
    """The path, if it is that file. Raises WeightsError, or OSError if it cannot be read."""
    if not path.is_file():
        raise WeightsError(f"{path} is missing: put there what {file.url} gives")
    if checksums.sha256(path, on_bytes) != file.sha256:
        raise WeightsError(f"{path} is not {file.url} (SHA-256 differs): get it again")
    return path


def _complete(file: RemoteFile, part: Path, on_bytes: OnBytes) -> None:
    """Downloads until the server says that part has all of it."""
    import requests

    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _receive(file.url, part, before, on_bytes):
                return
            problem = "the connection ended early"
        except requests.RequestException as error:
            problem = _reason(error)
        failures = 0 if part.exists() and part.stat().st_size > before else failures + 1
        if failures > len(_RETRY_PAUSES_SECONDS):
            raise WeightsError(
                f"{file.url}: {problem}: check the network and run again (it goes on where it "
                "stopped), or give a folder with the files as weights"
            )
        time.sleep(_RETRY_PAUSES_SECONDS[max(0, failures - 1)])


def _receive(url: str, part: Path, have_bytes: int, on_bytes: OnBytes) -> bool:
    """One request; appends to part what comes. True when the whole file is there."""
    import requests

    # No compression: ranges and sizes are the file's own.
    headers = {"Accept-Encoding": "identity"}
    if have_bytes:
        headers["Range"] = f"bytes={have_bytes}-"
    timeout = (_CONNECT_SECONDS, _READ_SECONDS)
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == 416:  # nothing lies behind what is there
            return True
        if 400 <= response.status_code < 500 and response.status_code not in (408, 429):
            raise WeightsError(
                f"{url}: the server answers {response.status_code} {response.reason}: get the "
                "files another way and give their folder as weights"
            )
        response.raise_for_status()
        if response.status_code != 206:
            have_bytes = 0
        total = _total_bytes(response, have_bytes)
        with part.open("ab" if have_bytes else "wb") as output:
            for chunk in response.iter_content(_RECEIVED_BYTES):
                try:
                    output.write(chunk)
                    output.flush()
                except OSError as error:
                    error.filename = str(part)
                    raise
                have_bytes += len(chunk)
                on_bytes(have_bytes)
    return total is None or have_bytes >= total


def _total_bytes(response: Any, offset: int) -> int | None:
    """The size of the whole file, if the server tells."""
    whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    if whole.isdigit():
        return int(whole)
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if length.isdigit() else None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reason(error: Exception) -> str:
    """The innermost cause, which names what went wrong and not the library's layers."""
    while error.__context__ is not None and isinstance(error.__context__, Exception):
        error = error.__context__
    return " ".join(str(error).split())[:200] or type(error).__name__
