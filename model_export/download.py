"""Large files over HTTP: resumed where they stopped, kept once, and checked before use.

Written by hand, since no library does all of it for any URL: pooch and Keras start over from zero,
huggingface_hub serves its own hub only, and urllib3 does not retry once the body has begun.
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
"""Read at a time. A connection that breaks loses at most this much."""
CHECKSUMS_NAME = ".checksums.json"
"""In the download folder: the checksums of files that were already verified."""

_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_RETRY_PAUSES_SECONDS = (1.0, 3.0, 10.0, 30.0)
"""Between attempts without progress. An attempt that made progress restarts the sequence."""


class WeightsError(RuntimeError):
    """Weights that are missing, damaged or unreachable; the message is one line for the user."""


@dataclass(frozen=True)
class RemoteFile:
    """A file with a known checksum. size_bytes is an estimate, used to show progress."""

    name: str
    url: str
    sha256: str
    size_bytes: int


def download(file: RemoteFile, folder: Path, on_bytes: OnBytes = lambda _done: None) -> Path:
    """The file in folder, complete and verified; what is missing of it is downloaded.

    on_bytes is called with the bytes present so far. Raises WeightsError, or OSError for the disk.
    Concurrent downloads of one file wait for each other.
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
        by_hand = f"download it another way, to {target}"
        resumed = part.exists()
        _complete(file, part, by_hand, on_bytes)
        if resumed and sha256_of(part) != file.sha256:
            # An earlier run left part of a different file: start over.
            part.unlink()
            _complete(file, part, by_hand, on_bytes)
        if sha256_of(part) != file.sha256:
            part.unlink()
            raise WeightsError(
                f"{file.url} is not the expected file (its SHA-256 differs): try again, or "
                f"{by_hand}"
            )
        part.replace(target)
    return target


def verified(
    path: Path, file: RemoteFile, checksums: Checksums, on_bytes: OnBytes = lambda _done: None
) -> Path:
    """The path, if it is that file. Raises WeightsError, or OSError if it cannot be read."""
    if not path.is_file():
        raise WeightsError(f"{path} is missing: download {file.url} to it")
    if checksums.sha256(path, on_bytes) != file.sha256:
        raise WeightsError(f"{path} is not {file.url} (its SHA-256 differs): download it again")
    return path


def _complete(file: RemoteFile, part: Path, by_hand: str, on_bytes: OnBytes) -> None:
    """Downloads until part holds the whole file. by_hand: what to do where that does not work."""
    import requests

    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _receive(file.url, part, before, by_hand, on_bytes):
                return
            problem = "the connection ended early"
        except requests.RequestException as error:
            problem = _reason(error)
        failures = 0 if part.exists() and part.stat().st_size > before else failures + 1
        if failures > len(_RETRY_PAUSES_SECONDS):
            raise WeightsError(
                f"{file.url}: {problem}: check the network and run again (the download resumes), "
                f"or {by_hand}"
            )
        time.sleep(_RETRY_PAUSES_SECONDS[max(0, failures - 1)])


def _receive(url: str, part: Path, have_bytes: int, by_hand: str, on_bytes: OnBytes) -> bool:
    """One request, appended to part. True when the file is complete."""
    import requests

    # No compression, so that ranges and sizes are those of the file.
    headers = {"Accept-Encoding": "identity"}
    if have_bytes:
        headers["Range"] = f"bytes={have_bytes}-"
    timeout = (_CONNECT_SECONDS, _READ_SECONDS)
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == 416:  # part is already complete
            return True
        if 400 <= response.status_code < 500 and response.status_code not in (408, 429):
            raise WeightsError(
                f"{url}: the server responded {response.status_code} {response.reason}: {by_hand}"
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
    """The size of the whole file, if the server sends it."""
    whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    if whole.isdigit():
        return int(whole)
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if length.isdigit() else None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reason(error: Exception) -> str:
    """The innermost cause: what went wrong, without the library's wrapping."""
    while error.__context__ is not None and isinstance(error.__context__, Exception):
        error = error.__context__
    return " ".join(str(error).split())[:200] or type(error).__name__
