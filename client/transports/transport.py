"""The interface of a transport, whichever protocol it uses."""

from __future__ import annotations

from typing import Protocol

from prediction.answer import Answer
from prediction.description import Answers
from prediction.limits import PictureRequest
from prediction.model_status import ModelStatus


class Transport(Protocol):
    """Thread-safe. All calls return within about `timeout_seconds`, or raise a ClientError."""

    @property
    def endpoint(self) -> str: ...

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer: ...

    def describe(self, timeout_seconds: float) -> Answers:
        """What each server says of its model; it raises nothing."""
        ...

    def model_status(self, timeout_seconds: float) -> ModelStatus: ...

    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """As `Transport`, for one event loop. A cancelled call ends, with its connection or call."""

    @property
    def endpoint(self) -> str: ...

    async def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer: ...

    async def describe(self, timeout_seconds: float) -> Answers: ...

    async def model_status(self, timeout_seconds: float) -> ModelStatus: ...

    async def close(self) -> None: ...
