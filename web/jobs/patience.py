"""How long the service waits for a model server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Seconds, unless the name says otherwise.

    away: how long jobs wait while no model server is ready. losses: how many times a job may lose
    its model server and still be drawn; one that always kills it must end.
    """

    away_seconds: float = 90.0
    losses: int = 2
    least_seconds: float = 30.0
    unknown_seconds: float = 300.0
    expected_times: float = 10.0

    def call_seconds(self, expected_seconds: float | None) -> float:
        """The limit of one call. A call that is given up goes on in the model server, beside the
        next job: the limit is far above what calls take, and is there for servers that hang."""
        if expected_seconds is None:
            return self.unknown_seconds
        return max(self.least_seconds, self.expected_times * expected_seconds)
