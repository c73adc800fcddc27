"""What gRPC's failures mean."""

from __future__ import annotations

import grpc
import pytest

from prediction.errors import ClientError, InputRefusedError, QueueFullError, UnexpectedAnswerError
from prediction.rpc_failures import RpcFailures


class Failed(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        ("Server Threadpool Exhausted", QueueFullError),
        ("SERVER: Received message larger than max (6445250 vs. 4194304)", InputRefusedError),
        ("CLIENT: Sent message larger than max (6445250 vs. 4194304)", InputRefusedError),
        ("The request would take more than this server's limit of 512 MiB", InputRefusedError),
        ("CLIENT: Received message larger than max (9 vs. 8)", UnexpectedAnswerError),
    ],
)
def test_only_a_server_that_is_full_now_is_full(details: str, kind: type[ClientError]) -> None:
    failures = RpcFailures("127.0.0.1:8500", "stable-diffusion")
    error = Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, details)
    assert type(failures.predict_failure(error, 1.0, in_time=True)) is kind
