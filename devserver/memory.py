"""A bound on the memory of all requests together, from their bodies to their parsed values.

A small body can become large: compressed zeros inflate a thousandfold, and a parsed number takes
twenty times its text. So what a request will need is estimated first, and it is handled only when
that fits beside the others.
"""

from __future__ import annotations

import threading
from types import TracebackType

from devserver.errors import Code, ServingError

BUDGET_BYTES = 512 << 20
FREE_BYTES = 256 << 10
"""What every request may use without asking, so that a prompt is answered whatever else is held.
The number of connections bounds their sum."""

WAIT_SECONDS = 2.0
"""How long a request waits for others to finish with theirs."""


class RequestTooLargeError(ServingError):
    """A request that would not fit even if it were the only one."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.RESOURCE_EXHAUSTED, message)

    @property
    def http_status(self) -> int:
        return 413


class MemoryBudget:
    """Bytes that requests may hold together. Thread-safe."""

    def __init__(
        self,
        total_bytes: int = BUDGET_BYTES,
        free_bytes: int = FREE_BYTES,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self.total_bytes = total_bytes
        self.free_bytes = free_bytes
        self._wait_seconds = wait_seconds
        self._held = 0
        self._changed = threading.Condition()

    def share(self) -> MemoryShare:
        """One request's part, empty at first; a context manager that gives it back."""
        return MemoryShare(self)

    def change(self, held: int, wanted: int) -> None:
        """Exchanges what a share holds for what it wants.

        Raises:
            RequestTooLargeError: it wants more than there is.
            ServingError: UNAVAILABLE while the others hold too much.
        """
        if wanted > self.total_bytes:
            raise RequestTooLargeError(
                "The request would take more than this server's limit of "
                f"{self.total_bytes >> 20} MiB of memory; send smaller ones"
            )
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._held - held + wanted <= self.total_bytes, self._wait_seconds
            ):
                raise ServingError(
                    Code.UNAVAILABLE,
                    "The requests in progress take all memory that this server allows them; "
                    "try again later",
                )
            self._held += wanted - held
            self._changed.notify_all()


class MemoryShare:
    """What one request holds of the budget."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.held_bytes = 0

    def check(self, size: int) -> None:
        """Raises RequestTooLargeError early, for a request that is known to need `size` bytes."""
        if size > self._budget.total_bytes:
            self._budget.change(self.held_bytes, size)

    def hold(self, size: int) -> None:
        """Holds `size` bytes in place of what it holds; small sizes are free.

        Raises:
            ServingError: as `MemoryBudget.change`.
        """
        wanted = 0 if size <= self._budget.free_bytes else size
        if wanted != self.held_bytes:
            self._budget.change(self.held_bytes, wanted)
            self.held_bytes = wanted

    def __enter__(self) -> MemoryShare:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hold(0)
