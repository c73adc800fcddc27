"""The web service's job API: pictures whose progress is told, and which can be cancelled."""

from __future__ import annotations

from typing import TypeVar

from client.transports.http_connections import HttpConnections
from client.transports.web_jobs import Conversation, WebJobs, asked_for_web_service
from client.transports.web_messages import WebMessages, WebServiceStatus
from prediction.answer import Answer
from prediction.description import Answers
from prediction.endpoints import Protocol, normalize_endpoint
from prediction.limits import PictureRequest
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus

T = TypeVar("T")


class WebTransport:
    """One web service."""

    def __init__(self, endpoint: str, model_name: str) -> None:
        self.endpoint = normalize_endpoint(endpoint, Protocol.WEB)
        self._messages = WebMessages(self.endpoint, model_name)
        self._jobs = WebJobs(self._messages)
        self._http = HttpConnections(self.endpoint, self._messages.fail, self._messages.key)

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer:
        """A connection that is lost is taken up again by the job's id: nothing is drawn twice, also
        if the same request is sent again after a failure."""
        return self._result(self._jobs.drawn(request, timeout_seconds))

    def describe(self, timeout_seconds: float) -> Answers:
        return self._result(self._jobs.described(timeout_seconds))

    def model_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> ModelStatus:
        return self._result(self._jobs.model_status(timeout_seconds))

    def service_status(self, timeout_seconds: float = STATUS_TIMEOUT_SECONDS) -> WebServiceStatus:
        return self._result(self._jobs.status(timeout_seconds))

    def is_there(self, timeout_seconds: float) -> bool | None:
        """As `asked_for_web_service`."""
        return self._result(asked_for_web_service(self._messages, timeout_seconds))

    def close(self) -> None:
        """Jobs that are still waited for are cancelled."""
        self._result(self._jobs.all_cancelled())
        self._http.close()

    def _result(self, conversation: Conversation[T]) -> T:
        try:
            call = next(conversation)
            while True:
                try:
                    reply = self._http.exchange(
                        call.method, call.path, call.timeout_seconds, call.body
                    )
                except BaseException as error:
                    call = conversation.throw(error)
                else:
                    call = conversation.send(reply)
        except StopIteration as end:
            return end.value
