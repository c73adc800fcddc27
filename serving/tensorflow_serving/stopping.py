"""How a pod stops: the stock server ignores SIGTERM, so a preStop hook ends it once it is idle.

The start script is process 1 of the container, and ends with the server.
"""

from __future__ import annotations

from serving.tensorflow_serving.scripts import bash_command
from serving.tensorflow_serving.starting import PROCESS_NAME
from serving.timing import ENDPOINT_REMOVAL_SECONDS

_SAMPLE_SECONDS = 2
_IDLE_TICKS = 20
"""A tenth of one core over a sample; a tick is a hundredth of a second."""


def drain_command(
    *, lag_seconds: float = ENDPOINT_REMOVAL_SECONDS, process_name: str = PROCESS_NAME
) -> list[str]:
    """Waits until no new requests arrive, then until the server is idle, and ends it."""
    return bash_command("drain", process_name, lag_seconds, _SAMPLE_SECONDS, _IDLE_TICKS)
