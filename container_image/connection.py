"""Requests to one registry: logged in, with time-outs, and again where that may help."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import requests
from requests import exceptions
from urllib3.exceptions import NewConnectionError

from container_image.errors import RefusedError, RegistryError, StoppedError, TransientError
from container_image.login import Authorization, Login, base_url, said_by

_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)
_AGAIN = frozenset({429, 500, 502, 503, 504})
_UNAUTHORIZED = 401

Answer = TypeVar("Answer")


class Body(Protocol):
    """What is sent, from its beginning each time that it is opened."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Connection:
    """stopped: ends the pauses between two tries, and what runs, by StoppedError."""

    def __init__(self, host: str, login: Login | None, stopped: threading.Event) -> None:
        self.host, self.url = host, base_url(host)
        self._session = requests.Session()
        self._authorization = Authorization(host, login)
        self._is_anonymous = login is None
        self._stopped = stopped

    def close(self) -> None:
        self._session.close()

    def again(self, attempt: Callable[[], Answer]) -> Answer:
        """The result of `attempt`, which is repeated after a TransientError."""
        for pause in _PAUSES_SECONDS:
            self.check_stopped()
            try:
                return attempt()
            except TransientError:
                self._stopped.wait(pause)
        self.check_stopped()
        return attempt()

    def check_stopped(self) -> None:
        if self._stopped.is_set():
            raise StoppedError("stopped")

    def send(
        self,
        method: str,
        url: str,
        expected: Collection[int],
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Body] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """One answer, with one of the expected statuses. Raises RegistryError."""

        def once() -> requests.Response:
            data = body() if body else None
            try:
                return self._request(
                    method,
                    url,
                    headers=headers,
                    data=data,
                    stream=stream,
                    auth=self._authorization,
                )
            finally:
                if data is not None:
                    data.close()

        answer = once()
        if answer.status_code == _UNAUTHORIZED:
            challenge = answer.headers.get("WWW-Authenticate", "")
            answer.close()
            if self._authorization.answer(challenge, self._ask_realm):
                answer = once()
        if answer.status_code in expected:
            return answer
        with answer:
            raise self._refusal(method, answer)

    def _ask_realm(self, url: str, **options: Any) -> requests.Response:
        answer = self._request("GET", url, **options)
        if answer.status_code in _AGAIN:
            raise TransientError(f"{url} answers {answer.status_code}: try again later")
        return answer

    def _request(self, method: str, url: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(
                method, url, timeout=(_CONNECT_SECONDS, _READ_SECONDS), **options
            )
        except exceptions.RequestException as error:
            raise self._failure(error) from None

    def _failure(self, error: exceptions.RequestException) -> RegistryError:
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        if isinstance(error, exceptions.ProxyError):
            return RegistryError(f"{self.host} cannot be reached by the proxy: check HTTPS_PROXY")
        if isinstance(error, exceptions.SSLError):
            return RegistryError(
                f"{self.host} has no certificate that this machine trusts: if your network "
                "replaces certificates, name its authority's file in REQUESTS_CA_BUNDLE"
            )
        if isinstance(error, exceptions.ConnectTimeout) or isinstance(reason, NewConnectionError):
            return RegistryError(
                f"{self.host} cannot be reached: check its name and the network, and HTTPS_PROXY "
                "if you need a proxy"
            )
        if isinstance(
            error,
            exceptions.ConnectionError | exceptions.Timeout | exceptions.ChunkedEncodingError,
        ):
            return TransientError(
                f"the connection to {self.host} breaks again and again: run it again"
            )
        return RegistryError(f"{self.host}: {error}")

    def cut(self, error: exceptions.RequestException) -> RegistryError:
        """What a failure while an answer is read means."""
        return self._failure(error)

    def _refusal(self, method: str, answer: requests.Response) -> RegistryError:
        status, said = answer.status_code, said_by(answer)
        if status in _AGAIN:
            return TransientError(f"{self.host} answers {status}{said}: try again later")
        if status == _UNAUTHORIZED:
            remedy = "it wants a login" if self._is_anonymous else "it does not accept the login"
            return RefusedError(f"{self.host}: {remedy}{said}", status)
        return RefusedError(f"{self.host} answers {method} with {status}{said}", status)
