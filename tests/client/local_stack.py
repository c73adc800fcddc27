"""A stack `local` whose servers are fakes, run by this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from infra.local.server_record import ServerRecord
from tests.client.fake_serving import FINGERPRINT, MODEL_NAME
from tests.client.stub_tools import StubTools


class LocalStack:
    """root: its checkout. Its outputs come from a stub of `pulumi`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tools = StubTools(root)

    def deploys(self, **outputs: object) -> None:
        self.tools.answer("pulumi", "stack output", outputs)

    def with_web_service(self, page: str, model_endpoint: str, grpc_address: str = "") -> None:
        self.deploys(
            page=page,
            endpoint=page,
            modelEndpoint=model_endpoint,
            grpcEndpoint=grpc_address,
            modelName=MODEL_NAME,
            modelUri="file:///models/" + FINGERPRINT,
            fingerprint=FINGERPRINT,
            limits={"queue": 8},
        )

    def record(self, folder: str, module: str, ports: Sequence[int]) -> Path:
        """Writes what `infra.local.server_process` writes of a server that it started."""
        started = psutil.Process().create_time()
        record = ServerRecord(
            os.getpid(), started, module=module, host="127.0.0.1", ports=tuple(ports)
        )
        state = self.root / ".state" / folder
        state.mkdir(parents=True, exist_ok=True)
        (state / f"{folder}.log").write_text(f"{module} is ready\n")
        file = state / "server.json"
        file.write_text(record.to_json())
        return file


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])
