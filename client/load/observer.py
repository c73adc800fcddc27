"""What is observed beside a load test, in a thread of its own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

LAST_SECONDS = 5.0


class Observer(ABC):
    """Observes while open; the first failure ends that and is kept in `problem`."""

    def __init__(self, name: str) -> None:
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._observe, name=name, daemon=True)
        self.problem = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits for an observation in progress, but not for long: a tool may hang."""
        self._closing.set()
        self._thread.join(LAST_SECONDS)

    @abstractmethod
    def _observe(self) -> None:
        """Runs in the thread until a failure, or until `_closing` is set."""
