"""A gRPC call until its message has come: a client that stops halfway holds up no other."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

from devserver.errors import Code, ServingError

MAX_MESSAGE_BYTES = 32 << 20
"""The largest state of a picture takes 24 MB: sd14 at 768 px with cached features.
`--grpc_channel_arguments=grpc.max_receive_message_length=…` changes it."""

INCOMPLETE_CALLS = 128
"""How many calls may be waiting for their message, beside those that are being handled."""

MESSAGE_SECONDS = 30.0
"""How long a client may take to send its message."""

_STOP_SECONDS = 1.0


class Calls:
    """Receives messages, with a limit on time, and counts the calls that are being handled.

    Args:
        handled: how many may be handled at once; any more are refused, as in TF Serving.
    """

    def __init__(self, handled: int, message_seconds: float = MESSAGE_SECONDS) -> None:
        self._slots = threading.BoundedSemaphore(handled)
        self._message_seconds = message_seconds
        self.incomplete: dict[grpc.ServicerContext, float] = {}
        """The calls whose messages have not come, and since when they are waited for."""
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="grpc-watch", daemon=True).start()

    def receive(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The only message of a call.

        Raises:
            ServingError: the call has none.
            grpc.RpcError: the client has cancelled it, or took too long.
        """
        with self.limited(context):
            try:
                return next(messages)
            except StopIteration:
                raise ServingError(Code.UNIMPLEMENTED, "The call has no message") from None

    @contextlib.contextmanager
    def limited(self, context: grpc.ServicerContext) -> Iterator[None]:
        """The call is cancelled if what is done meanwhile takes longer than a message may."""
        self.incomplete[context] = time.monotonic()
        try:
            yield
        finally:
            del self.incomplete[context]

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Counts a call while it is handled.

        Raises:
            ServingError: RESOURCE_EXHAUSTED if there are too many.
        """
        if not self._slots.acquire(blocking=False):
            raise ServingError(Code.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
        try:
            yield
        finally:
            self._slots.release()

    def stop(self) -> None:
        """Cancels the calls whose messages do not come in a moment, so that none is waited for."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(self._message_seconds / 10):
            self._cancel(self._message_seconds)
        time.sleep(_STOP_SECONDS)
        self._cancel(0.0)

    def _cancel(self, age_seconds: float) -> None:
        for context, start in list(self.incomplete.items()):
            if time.monotonic() - start > age_seconds:
                context.cancel()
