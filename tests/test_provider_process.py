"""The process of the dynamic providers ends with its engine."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dill
import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from infra.gke.placement import PlacementProvider
from render.recorder import ROOT
from serving.workloads.rollout import RolloutProvider
from tests.processes import wait_until

pytestmark = pytest.mark.slow


@contextmanager
def provider_process(engine: str) -> Iterator[subprocess.Popen[str]]:
    """Pulumi's process, with a provider that was called once."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.dynamic", *([engine] if engine else [])],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            pickled = base64.b64encode(dill.dumps(RolloutProvider(), recurse=True)).decode()
            inputs = struct_pb2.Struct()
            inputs.update({"__provider": pickled})
            stub.Check(provider_pb2.CheckRequest(urn="u", olds=struct_pb2.Struct(), news=inputs))
            yield process
    finally:
        process.kill()
        process.communicate()


def test_a_provider_ends_once_its_engine_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:
        host, port = engine.getsockname()
        with provider_process(f"{host}:{port}") as process:
            engine.accept()[0].close()
            assert process.poll() is None
            engine.close()
            wait_until(lambda: process.poll() is not None, "the process's end", 20)


@pytest.mark.parametrize("engine", ["", "127.0.0.1:0", "nonsense"])
def test_a_provider_without_an_engines_address_goes_on(engine: str) -> None:
    with provider_process(engine) as process, pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)


@pytest.mark.parametrize("provider", [RolloutProvider, PlacementProvider])
def test_the_state_names_a_provider_by_module_and_class_alone(provider: type) -> None:
    pickled = dill.dumps(provider(), recurse=True)
    assert provider.__module__.encode() in pickled and len(pickled) < 100
