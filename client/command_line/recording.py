"""The option `--record` of the command `load`."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from client.api import Client
from prediction.errors import InputRefusedError, printable

if TYPE_CHECKING:
    from client.load.recording import Reading


@contextmanager
def recording(client: Client, *, wanted: bool) -> Generator[Sequence[Reading]]:
    """What the web service counts, in a list that grows while this is open.

    Raises InputRefusedError at once if its metrics cannot be read.
    """
    if not wanted:
        yield []
        return
    from client.command_line.service_status import metrics_endpoint
    from client.load.recording import Recorder
    from client.transports.metrics import NoMetricsError
    from client.transports.web_metrics import page

    try:
        address = metrics_endpoint(client.endpoint)
        page(address)
    except NoMetricsError as error:
        raise InputRefusedError(f"--record needs the web service's metrics: {error}") from None
    with Recorder(lambda: page(address)) as recorder:
        yield recorder.readings
    if recorder.problem:
        line = f"the recording stopped early: {recorder.problem}"
        print(printable(line), file=sys.stderr)
