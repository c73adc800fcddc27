"""Reading what `doctor` prints."""

from __future__ import annotations

from tests.client.commands import Ran

ENDED: dict[str, object] = {"terminated": {"exitCode": 2, "reason": "Error"}}
BACK_OFF: dict[str, object] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m"}}
"""States of a container, as Kubernetes tells them."""


def findings(ran: Ran, check: str) -> list[tuple[str, str]]:
    """State and message of every line for that check."""
    lines = [line.split(maxsplit=2) for line in ran.out.splitlines() if "  | " not in line]
    return [(state, message) for state, name, message in lines if name == check]


def one(ran: Ran, check: str) -> tuple[str, str]:
    (only,) = findings(ran, check)
    return only
