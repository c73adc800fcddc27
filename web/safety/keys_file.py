"""The keys' file, read again while the service runs: a key is exchanged without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from web.safety.keys import Keys, KeysError, parse

LOOK_SECONDS = 1.0
MAX_BYTES = 1024 * 1024

Changed = Callable[[frozenset[str], frozenset[str]], None]
"""Is told the names that are gone, and those that are there."""

logger = logging.getLogger(__name__)


class KeysFile:
    """keys: the last that could be read, changed in the event loop that `watch` was called in.

    Raises KeysError if the file cannot be read at the start. Later, the keys stay as they were.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._content = _read(path)
        self.keys = self._parsed(self._content)
        self._stopped = threading.Event()
        self._complaint = ""

    def watch(self, changed: Changed) -> None:
        """Call `changed` after each change of the keys, until `stop`."""
        logger.info("keys: %s", _named(self.keys))
        loop = asyncio.get_running_loop()
        # A thread of its own, and no one waits for it: a file system may take for ever.
        threading.Thread(target=self._look, args=(loop, changed), daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _look(self, loop: asyncio.AbstractEventLoop, changed: Changed) -> None:
        """By the content, not its times: a symlink may have been moved to another file."""
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                content = _read(self._path)
                keys = None if content == self._content else self._parsed(content)
            except KeysError as error:
                self._complain(str(error))
                continue
            self._complaint = ""
            if keys is not None:
                self._content = content
                with contextlib.suppress(RuntimeError):  # the loop has been closed
                    loop.call_soon_threadsafe(self._replace, keys, changed)

    def _replace(self, keys: Keys, changed: Changed) -> None:
        removed = self.keys.names - keys.names
        self.keys = keys
        logger.info("keys: %s", _named(keys))
        changed(removed, keys.names)

    def _complain(self, message: str) -> None:
        """Once for each trouble, not each second."""
        if message != self._complaint:
            self._complaint = message
            logger.error("%s; the keys stay as they were", message)

    def _parsed(self, content: bytes) -> Keys:
        try:
            return parse(content)
        except KeysError as error:
            raise KeysError(f"the keys in {self._path} are not understood: {error}") from None


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise KeysError(f"the keys in {path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise KeysError(f"the keys in {path} take more than {MAX_BYTES} bytes")
    return content


def _named(keys: Keys) -> str:
    return ", ".join(sorted(keys.names)) or "none, so that everybody is refused"
