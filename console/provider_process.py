"""What Pulumi's process for Python's dynamic providers lacks: errors in one line, and an end.

That process (`pulumi.dynamic`) sends the traceback of every exception. It ignores the engine's
request to cancel, so that the first Ctrl-C would wait for a provider that waits for an hour; and it
outlives an engine that is killed. All is mended from within: where it is not as expected, Pulumi's
own behaviour remains.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import traceback
from types import ModuleType
from typing import Any

from google.protobuf import empty_pb2

_ENGINE_CHECK_SECONDS = 2.0

cancelled = threading.Event()
"""Set once the engine asks the provider's process to stop what it does."""


def adapt() -> None:
    """Called by a provider's `configure`. A RuntimeError is then shown as its message alone."""
    process = sys.modules["__main__"]
    servicer = getattr(process, "DynamicResourceProviderServicer", None)
    if servicer is None or not hasattr(process, "empty_pb2"):
        return
    if not hasattr(process, "cancelled"):
        _adapt(process, servicer)
        threading.Thread(target=_end_with_engine, args=sys.argv[1:2], daemon=True).start()


def _adapt(process: ModuleType, servicer: Any) -> None:
    # The server holds the method since its start: only its code can be replaced.
    servicer.Cancel.__code__ = _cancel.__code__
    vars(process).update(cancelled=cancelled, traceback=_OneLine)


class _OneLine:
    """In place of the module `traceback`, of which the process uses one function."""

    @staticmethod
    def format_exc() -> str:
        error = sys.exception()
        return str(error) if type(error) is RuntimeError else traceback.format_exc()


def _cancel(_servicer: Any, _request: Any, _context: Any) -> Any:
    """Runs with the names of `pulumi.dynamic`, which must have those that it uses."""
    cancelled.set()
    return empty_pb2.Empty()


def _end_with_engine(address: str = "") -> None:
    """Ends the process once the engine does not listen any more, if it ever did."""
    listened = False
    while True:
        try:
            host, port = address.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=_ENGINE_CHECK_SECONDS).close()
            listened = True
        except ConnectionRefusedError:
            if listened:
                os._exit(1)
            return
        except (OSError, ValueError):
            return
        time.sleep(_ENGINE_CHECK_SECONDS)
