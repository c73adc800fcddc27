"""What the client needs of a way to reach a server, whichever protocol carries it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from client.errors import ClientError, ModelLoadingError, UnexpectedAnswerError, one_line
from client.limits import PictureRequest

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


class ModelState(StrEnum):
    READY = "ready"
    LOADING = "loading"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class ModelStatus:
    """What a server says of its model: the version served, or why there is none."""

    state: ModelState
    version: str
    message: str = ""


def not_ready(endpoint: str, model_name: str, status: ModelStatus) -> ClientError | None:
    """The exception for a model in this state; None for one that serves."""
    match status.state:
        case ModelState.READY:
            return None
        case ModelState.LOADING:
            return loading(endpoint, model_name)
        case ModelState.UNAVAILABLE:
            return UnexpectedAnswerError(
                f"{endpoint} has no version of {one_line(repr(model_name))} that can serve "
                f"({status.message or 'no reason given'}): `make logs` shows why"
            )


def loading(endpoint: str, model_name: str) -> ModelLoadingError:
    return ModelLoadingError(
        f"{endpoint} is still loading {one_line(repr(model_name))}: try again in a moment, "
        "`make status` tells when it is ready"
    )


class Transport(Protocol):
    """Both calls raise a ClientError, and return within about `timeout_seconds`."""

    def predict(self, request: PictureRequest, timeout_seconds: float) -> Answer: ...

    def model_status(self, timeout_seconds: float) -> ModelStatus: ...

    def close(self) -> None: ...
