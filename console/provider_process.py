"""What Pulumi's process for Python's dynamic providers lacks: errors in one line, and Ctrl-C.

That process (`pulumi.dynamic`) sends the traceback of every exception, and ignores the engine's
request to cancel, so that the first Ctrl-C would wait for a provider that waits for an hour. Both
are mended from within: where it is not as expected, Pulumi's own behaviour remains.
"""

from __future__ import annotations

import sys
import threading
import traceback
from types import ModuleType
from typing import Any

from google.protobuf import empty_pb2

cancelled = threading.Event()
"""Set once the engine asks the provider's process to stop what it does."""


class ExpectedError(RuntimeError):
    """A failure with a message for the user: one line, shown without a traceback."""


def adapt() -> None:
    """Called by a provider in its process, as often as it likes."""
    _adapt(sys.modules["__main__"])


def _adapt(process: ModuleType) -> None:
    servicer = getattr(process, "DynamicResourceProviderServicer", None)
    if servicer is None or not hasattr(process, "empty_pb2"):
        return
    # The server holds the method since its start: only its code can be replaced.
    servicer.Cancel.__code__ = _cancel.__code__
    vars(process).update(cancelled=cancelled, traceback=_OneLine)


class _OneLine:
    """In place of the module `traceback`, of which the process uses one function."""

    @staticmethod
    def format_exc() -> str:
        error = sys.exception()
        return str(error) if isinstance(error, ExpectedError) else traceback.format_exc()


def _cancel(_servicer: Any, _request: Any, _context: Any) -> Any:
    """Runs with the names of `pulumi.dynamic`, which must have those that it uses."""
    cancelled.set()
    return empty_pb2.Empty()
