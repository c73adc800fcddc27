"""The advice in a transport's errors, made that of the stack whose service it reaches."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from client.stacks.discovery import for_stack
from client.transports.transport import Transport
from prediction.answer import Answer
from prediction.description import Answers
from prediction.errors import ClientError
from prediction.limits import PictureRequest
from prediction.model_status import ModelStatus


class AdvisingTransport:
    """A transport whose errors name make's commands for `stack`."""

    def __init__(self, transport: Transport, stack: str) -> None:
        self._transport = transport
        self._stack = stack

    @property
    def endpoint(self) -> str:
        return self._transport.endpoint

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        with self._advising():
            return self._transport.predict(request, timeout_seconds)

    def describe(self, timeout_seconds: float) -> Answers:
        answers = self._transport.describe(timeout_seconds)
        for _, answer in answers:
            if isinstance(answer, ClientError):
                self._advise(answer)
        return answers

    def model_status(self, timeout_seconds: float) -> ModelStatus:
        with self._advising():
            return self._transport.model_status(timeout_seconds)

    def close(self) -> None:
        self._transport.close()

    @contextmanager
    def _advising(self) -> Generator[None]:
        try:
            yield
        except ClientError as error:
            self._advise(error)
            raise

    def _advise(self, error: ClientError) -> None:
        error.args = (for_stack(str(error), self._stack),)
