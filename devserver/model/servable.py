"""The served model: its state, and access to it once loaded."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from devserver.errors import Code, ServingError, invalid_argument

if TYPE_CHECKING:
    from devserver.model.loading import LoadedModel


class State(IntEnum):
    """States of a version, with the numbers of TF Serving's `ModelVersionStatus`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """One entry of a model status answer."""

    version: int
    state: State


class Servable:
    """The model by name; its version is unknown until one is found on disk."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._status: VersionStatus | None = None
        self._model: LoadedModel | None = None

    def set_loading(self, version: int) -> None:
        with self._lock:
            self._status = VersionStatus(version, State.LOADING)

    def set_available(self, model: LoadedModel) -> None:
        with self._lock:
            self._model = model
            self._status = VersionStatus(model.version, State.AVAILABLE)

    def set_unloading(self) -> None:
        with self._lock:
            if self._status:
                self._status = VersionStatus(self._status.version, State.UNLOADING)

    @property
    def is_available(self) -> bool:
        status = self._status
        return status is not None and status.state is State.AVAILABLE

    def metric_label(self, name: str) -> str:
        """The label for a model's name in metrics: empty for other names, as clients could fill the
        memory with labels."""
        return name if name == self.name else ""

    def statuses(self, name: str, version: int | None) -> list[VersionStatus]:
        """The states of the model's versions.

        Raises:
            ServingError: NOT_FOUND for a model or version that is not here.
        """
        status = self._status if name == self.name else None
        if status and version in (None, status.version):
            return [status]
        what = "any versions" if version is None else f"version {version}"
        raise ServingError(Code.NOT_FOUND, f"Could not find {what} of model {name}")

    def get(self, name: str, version: int | None = None, label: str | None = None) -> LoadedModel:
        """The loaded model for a request's model spec.

        Raises:
            ServingError: NOT_FOUND with TF Serving's message, or UNAVAILABLE while it loads.
        """
        with self._lock:
            status, model = self._status, self._model
        if not name:
            raise invalid_argument("ModelSpec has no name specified.")
        if label is not None:
            # Labels are given in a model config file, which this server does not read.
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        known = status is None or version in (None, status.version)
        if name != self.name or not known:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        if model is None:
            raise ServingError(Code.UNAVAILABLE, self.loading_message())
        return model

    def loading_message(self) -> str:
        status = self._status
        if status is None:
            return f"Model {self.name} is not loaded: no version of it has been found yet"
        return f"Model {self.name} version {status.version} is still loading"
