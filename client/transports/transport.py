"""The interface of a transport, whichever protocol it uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from client.description import Answers
from client.errors import ClientError, ModelLoadingError, Repeat, UnexpectedAnswerError, one_line
from client.limits import PictureRequest
from client.pictures.picture import Picture

STATUS_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """One row of what `serving_default` returns."""

    png: bytes
    seed: int
    num_steps: int
    prompt_tokens: int
    truncated: bool
    fingerprint: str
    endpoint: str = ""
    """The server that drew it."""
    negative_prompt_tokens: int = 0
    negative_prompt_truncated: bool = False

    def picture(self, request: PictureRequest, seconds: float) -> Picture:
        """What came for `request`, which took `seconds`."""
        return Picture(
            png=self.png,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=self.seed,
            num_steps=self.num_steps,
            guidance_scale=request.guidance_scale,
            prompt_tokens=self.prompt_tokens,
            truncated=self.truncated,
            fingerprint=self.fingerprint,
            seconds=seconds,
            endpoint=self.endpoint,
            negative_prompt_tokens=self.negative_prompt_tokens,
            negative_prompt_truncated=self.negative_prompt_truncated,
        )


class ModelState(StrEnum):
    READY = "ready"
    LOADING = "loading"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class ModelStatus:
    """The state of a server's model: the version served, or why there is none."""

    state: ModelState
    version: str
    message: str = ""


def model_status_of(versions: Sequence[tuple[int, str, str]]) -> ModelStatus:
    """The newest available version, else the newest loading one, else the newest unloaded one.

    versions: number, TF Serving's name of the state, error message. Raises ValueError if none is
    in a known state.
    """
    for states, state in (
        (("AVAILABLE",), ModelState.READY),
        (("START", "LOADING"), ModelState.LOADING),
        (("UNLOADING", "END"), ModelState.UNAVAILABLE),
    ):
        matching = [entry for entry in versions if entry[1] in states]
        if matching:
            version, _, message = max(matching)
            return ModelStatus(state, str(version), one_line(message))
    raise ValueError("no version in a known state")


def not_ready(
    endpoint: str, model_name: str, model: ModelStatus, status: str = ""
) -> ClientError | None:
    """The exception for a model in this state; None if it is ready.

    status: the status of the server's response, as in ClientError.
    """
    match model.state:
        case ModelState.READY:
            return None
        case ModelState.LOADING:
            return loading(endpoint, model_name, status)
        case ModelState.UNAVAILABLE:
            return UnexpectedAnswerError(
                f"{endpoint} has no available version of {one_line(repr(model_name))} "
                f"({model.message or 'no reason given'}): `make doctor` shows why",
                status=status,
            )


def loading(endpoint: str, model_name: str, status: str = "") -> ModelLoadingError:
    return ModelLoadingError(
        f"{endpoint} is still loading {one_line(repr(model_name))}: try again in a moment; "
        "`make status` shows when it is ready",
        status=status,
        repeat=Repeat.FREELY,
    )


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
