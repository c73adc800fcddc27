"""An HTTP endpoint that does not say what it is: the web service, or a model server's REST port.

It is asked once, when it is first needed.
"""

from __future__ import annotations

import time

from client.transports.rest import RestTransport
from client.transports.transport import Transport
from client.transports.web import WebTransport
from prediction.answer import Answer
from prediction.description import Answers
from prediction.errors import ClientError
from prediction.limits import PictureRequest, seconds_until
from prediction.model_status import ModelStatus


class EitherTransport:
    """The web service's transport if that answers, else REST's."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self._web = WebTransport(endpoint, model_name)
        self._rest = RestTransport(endpoint, model_name)
        self._found: Transport | None = None

    @property
    def endpoint(self) -> str:
        return self._rest.endpoint

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        deadline = time.monotonic() + timeout_seconds
        transport = self._transport(timeout_seconds)
        return transport.predict(request, seconds_until(deadline))

    def describe(self, timeout_seconds: float) -> Answers:
        deadline = time.monotonic() + timeout_seconds
        try:
            transport = self._transport(timeout_seconds)
        except ClientError as error:
            return [(self.endpoint, error)]
        return transport.describe(seconds_until(deadline))

    def model_status(self, timeout_seconds: float) -> ModelStatus:
        deadline = time.monotonic() + timeout_seconds
        return self._transport(timeout_seconds).model_status(seconds_until(deadline))

    def close(self) -> None:
        self._web.close()
        self._rest.close()

    def _transport(self, timeout_seconds: float) -> Transport:
        if self._found is None:
            is_web = self._web.is_there(timeout_seconds)
            if is_web is None:
                return self._rest
            self._found = self._web if is_web else self._rest
        return self._found
