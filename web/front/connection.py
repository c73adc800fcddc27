"""One request to the workers' address, and the events in its answer.

What answers is not trusted: each line has a length, a shape and a time by which it must be there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import httpx
from pydantic import ValidationError

from prediction.errors import UnreachableError, one_line
from web.front.files import WorkerKey
from web.jobs.refusals import Reason, RefusedError, refused
from web.worker import DRAW_PATH
from web.worker.events import MEDIA_TYPE, Done, Event, Failed, Started, event_in

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
"""A worker says every few seconds that it is still there."""
LINE_BYTES_BESIDE_PICTURE = 64 * 1024
LINE_BYTES_OF_A_PIXEL = 8
"""Twice what a pixel takes at most in a PNG in base64."""
MAX_ERROR_BYTES = 64 * 1024

_PASSING = frozenset({408, 429, 502, 503, 504})
_REFUSED, _FAULT = 400, 500
_LASTING = {
    401: "the workers do not accept the front's key: check --worker-key-file and their --keys-file",
    403: "the workers refuse the front's requests: check what stands before them",
    404: "there are no workers at --worker-url: check it",
}


class NotTakenError(Exception):
    """No worker has taken the job yet. The message says why; is_lasting: whether it is a mistake
    that may be put right meanwhile, but will not pass by itself."""

    def __init__(self, message: str, *, is_lasting: bool = False) -> None:
        super().__init__(message)
        self.is_lasting = is_lasting


class WorkerGoneError(Exception):
    """What stands before the workers had nothing to answer with: the job may be what ended one."""


class WorkerConnection:
    """Made and used in one event loop.

    url: that of all workers. image_size: of the pictures that they draw. transport: httpx's, for
    tests.
    """

    def __init__(
        self,
        url: str,
        key: WorkerKey | None,
        image_size: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.image_size = image_size
        self._url = f"{url}{DRAW_PATH}"
        self._key = key
        self._max_line_bytes = LINE_BYTES_BESIDE_PICTURE + LINE_BYTES_OF_A_PIXEL * image_size**2
        # Reading has its own limits: until a worker takes the job, that is the job's deadline.
        self._client = httpx.AsyncClient(
            transport=transport,
            verify=url.startswith("https:"),
            trust_env=False,
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def events(self, asked: Mapping[str, object]) -> AsyncGenerator[Event]:
        """The events of a job, from `Started` to `Done`. asked: as for `POST /api/v1/jobs`.

        Raises NotTakenError before `Started`, WorkerGoneError if a worker went away with the job,
        UnreachableError if it is lost after `Started`, and RefusedError if another try would be no
        better.
        """
        is_started = False
        try:
            async with self._client.stream(
                "POST", self._url, json=asked, headers=self._headers()
            ) as answer:
                await _check(answer)
                async for line in self._lines(answer):
                    event = _event(line)
                    if isinstance(event, Started) is is_started:
                        raise broken("its lines are not in order")
                    is_started = True
                    yield event
                    if isinstance(event, Done | Failed):
                        return
            raise UnreachableError("the answer of a worker ended too early")
        except (httpx.HTTPError, UnreachableError, TimeoutError) as error:
            why = f"{type(error).__name__} {one_line(str(error))}"
            if is_started:
                raise UnreachableError(f"a worker was lost: {why}") from None
            is_unreached = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise NotTakenError(
                f"no worker answers at --worker-url ({why})", is_lasting=is_unreached
            ) from None

    def _headers(self) -> dict[str, str]:
        key = self._key.header() if self._key else {}
        return {"accept": MEDIA_TYPE, "accept-encoding": "identity", **key}

    async def _lines(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        """Raises TimeoutError after a silence."""
        chunks, rest = answer.aiter_raw(), bytearray()
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            searched = len(rest)
            rest += chunk
            while (end := rest.find(b"\n", searched)) >= 0:
                self._check_length(end)
                yield bytes(rest[:end])
                del rest[: end + 1]
                searched = 0
            self._check_length(len(rest))

    def _check_length(self, line_bytes: int) -> None:
        if line_bytes > self._max_line_bytes:
            raise broken(f"a line has more than {self._max_line_bytes} bytes")


def broken(what: str) -> RefusedError:
    """An answer that no worker of this version gives."""
    return refused(
        Reason.FAILED,
        f"the answer of a worker is not understood ({what}): check that --worker-url leads to "
        "workers of the front's version",
    )


def _event(line: bytes) -> Event:
    try:
        return event_in(line)
    except ValidationError:
        raise broken("a line is no event") from None


async def _check(answer: httpx.Response) -> None:
    """Whether it is a stream of events. Raises NotTakenError, WorkerGoneError and RefusedError."""
    status = answer.status_code
    if answer.is_success:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        if kind != MEDIA_TYPE or "content-encoding" in answer.headers:
            raise broken(f"it is no {MEDIA_TYPE}")
        return
    if status in _LASTING:
        raise NotTakenError(_LASTING[status], is_lasting=True)
    if status in _PASSING:
        raise NotTakenError(f"the workers answer with HTTP {status}")
    if status in (_REFUSED, _FAULT):
        content = await _content(answer)
        if status == _FAULT and not content:
            raise WorkerGoneError("the workers answer with an empty HTTP 500")
        if said := _said(content):
            if status == _REFUSED:
                raise refused(Reason.INVALID, f"the worker did not take the request: {said}")
            raise refused(Reason.FAILED, f"the worker failed before it drew: {said}")
    raise broken(f"HTTP {status}")


async def _content(answer: httpx.Response) -> bytes:
    """As much of it as comes, and little more than MAX_ERROR_BYTES."""
    content = bytearray()
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(SILENCE_SECONDS):
            async for chunk in answer.aiter_raw():
                content += chunk
                if len(content) > MAX_ERROR_BYTES:
                    break
    return bytes(content)


def _said(content: bytes) -> str:
    """The message of an error of the own API; empty if it is none."""
    try:
        return one_line(str(json.loads(content)["error"]["message"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
