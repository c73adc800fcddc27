"""The Python API: `Client(endpoint).generate("a red circle", seed=1)` returns a `Picture`."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from client.pictures.picture import Picture
from client.stacks.advice import AdvisingTransport
from client.stacks.discovery import read_stack
from client.stacks.starting import all_run
from client.time_limits import loading_seconds, picture_seconds
from client.transports.connecting import connected
from client.transports.progress import Watch, watched_by
from client.transports.transport import Transport
from model_export.spec import MODEL_NAME
from prediction.description import Answers, ModelDescription, Served, judge
from prediction.endpoints import Protocol, agreed_name, parse_address
from prediction.errors import ClientError
from prediction.failures import Failures
from prediction.limits import Limits, PictureRequest, draw_seed, seconds_until
from prediction.model_status import STATUS_TIMEOUT_SECONDS, ModelStatus


class Client:
    """A thread-safe client of a service.

    `endpoint` is `http://host:port` for the web service or a model server's REST port (without
    `protocol` it is asked which, once), `grpc://host:port` for gRPC, or several of them: each
    request then goes to the one with the fewest of this client's requests in flight. The URL of a
    REST request, such as `http://host:port/v1/models/NAME:predict`, gives the endpoint and the
    model.

    The model itself says its limits and defaults; it is asked once, when they are first needed,
    and again after a picture that shows that it was replaced.
    `limits` holds what it does not say: the queue, the timeout, and everything if it is an older
    export, of which `warn` is told. `Client.from_stack` takes them from the deployment. Every
    method raises a `ClientError` on failure.

    `generate` asks again, with growing waits and within the timeout, while the server is full,
    loading or not reachable, and up to two times after a lost connection; the logger "client" says
    so. `retry=False` makes the first answer final, as it is for `send`. `is_starting` tells whether
    a server is on its way that does not listen yet. stack: the one that deployed the service, if it
    is known; errors then name make's commands for it. Without `timeout_seconds` a picture has
    slightly longer than the server gives it, and a model that loads ten minutes before;
    `timeout_seconds` is the limit for both together.
    """

    def __init__(
        self,
        endpoint: str | Sequence[str],
        *,
        protocol: Protocol | None = None,
        model_name: str | None = None,
        limits: Limits | None = None,
        timeout_seconds: float | None = None,
        retry: bool = True,
        transport: Transport | None = None,
        warn: Callable[[str], None] = warnings.warn,
        is_starting: Callable[[], bool] = lambda: False,
        stack: str = "",
    ) -> None:
        self.retry = retry
        self.is_starting = is_starting
        self._assumed = limits or Limits()
        self._warn = warn
        self.protocol = protocol
        self.known: Served | None = None
        self._asking = threading.Lock()
        self.timeout_seconds = picture_seconds(timeout_seconds, self._assumed)
        self.loading_seconds = loading_seconds(timeout_seconds)
        self.endpoints = (endpoint,) if isinstance(endpoint, str) else tuple(endpoint)
        if transport is None:
            addresses = [parse_address(text, protocol) for text in self.endpoints]
            model_name = agreed_name(model_name, addresses) or MODEL_NAME
            self.endpoints = tuple(address.endpoint for address in addresses)
            transport = connected(self.endpoints, model_name, protocol)
        if stack:
            transport = AdvisingTransport(transport, stack)
        self.model_name = model_name or MODEL_NAME
        self._transport = transport

    @property
    def limits(self) -> Limits:
        """The served model's limits and defaults."""
        return self._served().limits

    def describe(self, timeout_seconds: float | None = None) -> ModelDescription | None:
        """What the served model says it is; None if it does not say, as an older export."""
        return self._served(timeout_seconds).description

    def _served(self, timeout_seconds: float | None = None) -> Served:
        known = self.known  # another thread may forget it
        if known is not None:
            return known
        seconds = self.bounded(timeout_seconds)
        deadline = time.monotonic() + seconds
        if not self._asking.acquire(timeout=seconds):
            raise self.timed_out(seconds)
        try:
            return self.known or self.learn(self._transport.describe(seconds_until(deadline)))
        finally:
            self._asking.release()

    def learn(self, answers: Answers) -> Served:
        """Take limits and defaults from what the servers answered about their models."""
        self.known = known = judge(answers, self._assumed)
        for line in known.warnings:
            self._warn(line)
        return known

    def notice(self, fingerprint: str) -> None:
        """Forget limits and defaults if a picture is from a model that was not asked."""
        known = self.known
        if known is not None and known.description and fingerprint not in known.fingerprints:
            self.known = None

    @property
    def endpoint(self) -> str:
        """The endpoint for display; several are joined by commas."""
        return ", ".join(self.endpoints)

    @classmethod
    def from_stack(
        cls,
        stack: str = "local",
        *,
        protocol: Protocol | None = None,
        timeout_seconds: float | None = None,
        retry: bool = True,
    ) -> Client:
        """A client for the service that `stack` of this project deployed: its web service, if it
        has one, unless `protocol` says otherwise."""
        outputs = read_stack(stack)
        protocol = protocol or outputs.protocol
        return cls(
            outputs.endpoint_for(protocol),
            protocol=protocol,
            model_name=outputs.model_name,
            limits=outputs.limits,
            timeout_seconds=timeout_seconds,
            retry=retry,
            is_starting=partial(all_run, stack, protocol),
            stack=stack,
        )

    def generate(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        watch: Watch | None = None,
    ) -> Picture:
        """Request one picture and wait for it. Omitted values take the service's defaults, and the
        seed is random; the picture records the values used. A web service tells `watch` how far it
        is.
        """
        seed = draw_seed() if seed is None else seed  # each attempt asks for the same picture

        def attempt(timeout_seconds: float) -> Picture:
            deadline = time.monotonic() + timeout_seconds
            self.describe(timeout_seconds)
            request = self.prepare(
                prompt,
                negative_prompt=negative_prompt,
                num_steps=num_steps,
                guidance_scale=guidance_scale,
                seed=seed,
            )
            return self.send(request, seconds_until(deadline), watch)

        if not self.retry:
            return attempt(self.timeout_seconds)
        from client.retry import until_deadline  # tenacity takes 0.1 s to import

        return until_deadline(self, attempt)

    def prepare(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
    ) -> PictureRequest:
        """The request that `generate` would send: complete, and within the limits."""
        limits = self.limits
        request = PictureRequest(
            prompt=prompt,
            negative_prompt=(
                limits.default_negative_prompt if negative_prompt is None else negative_prompt
            ),
            num_steps=limits.default_steps if num_steps is None else num_steps,
            guidance_scale=(
                limits.default_guidance_scale if guidance_scale is None else guidance_scale
            ),
            seed=draw_seed() if seed is None else seed,
        )
        limits.check(request)
        return request

    def send(
        self,
        request: PictureRequest,
        timeout_seconds: float | None = None,
        watch: Watch | None = None,
    ) -> Picture:
        """Send this request once and wait for its picture, for at most the client's own timeout."""
        self.limits.check(request)
        started = time.monotonic()
        with watched_by(watch):
            answer = self._transport.predict(request, self.bounded(timeout_seconds))
        self.notice(answer.fingerprint)
        return Picture.of(answer, request, time.monotonic() - started)

    def bounded(self, timeout_seconds: float | None) -> float:
        """A request's time limit: the one given, but at most the client's own."""
        if timeout_seconds is None:
            return self.timeout_seconds
        return min(timeout_seconds, self.timeout_seconds)

    def timed_out(self, seconds: float) -> ClientError:
        return Failures(self.endpoint, self.model_name).timed_out(seconds)

    def status(self) -> ModelStatus:
        """The state of the served model, and its version where a model server is asked."""
        return self._transport.model_status(min(self.timeout_seconds, STATUS_TIMEOUT_SECONDS))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
