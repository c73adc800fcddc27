"""Whether a server's model is ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from prediction.errors import (
    ClientError,
    ModelLoadingError,
    Repeat,
    UnexpectedAnswerError,
    one_line,
)

STATUS_TIMEOUT_SECONDS = 5.0


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
