"""The real dynamic provider process, driven over gRPC as a Pulumi engine drives it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from tests.model_export.conftest import ROOT

URN = "urn:pulumi:local::diffusion-serving::pulumi-python:dynamic/diffusion:ModelExport::model"


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(dict(values))
    return message


@dataclass
class DynamicServer:
    """`lines` is its output after the port."""

    process: subprocess.Popen[str]
    stub: Any
    lines: list[str]

    def check(self, news: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        request = provider_pb2.CheckRequest(urn=URN, olds=struct({}), news=struct(news))
        response = self.stub.Check(request)
        return dict(response.inputs), {f.property: f.reason for f in response.failures}

    def diff(self, id_: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Any:
        return self.stub.Diff(
            provider_pb2.DiffRequest(id=id_, urn=URN, olds=struct(olds), news=struct(news))
        )

    def create(self, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.CreateRequest(urn=URN, properties=struct(inputs))
        response = self.stub.Create(request)
        return response.id, dict(response.properties)

    def read(self, id_: str, state: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        response = self.stub.Read(
            provider_pb2.ReadRequest(id=id_, urn=URN, properties=struct(state))
        )
        return response.id, dict(response.properties)

    def update(self, id_: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Any]:
        response = self.stub.Update(
            provider_pb2.UpdateRequest(id=id_, urn=URN, olds=struct(olds), news=struct(news))
        )
        return dict(response.properties)

    def delete(self, id_: str, state: Mapping[str, Any]) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(id=id_, urn=URN, properties=struct(state)))


@contextlib.contextmanager
def dynamic_server(environment: Mapping[str, str]) -> Iterator[DynamicServer]:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.dynamic"],
        cwd=ROOT,
        env={**environment, "PULUMI_PROJECT": "diffusion-serving"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=_collect, args=(process.stdout, lines))
    try:
        port = int(process.stdout.readline())
        reader.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            yield DynamicServer(process, stub, lines)
    finally:
        process.kill()
        process.wait()
        if reader.ident is not None:
            reader.join()
        process.stdout.close()


def _collect(stream: Any, lines: list[str]) -> None:
    for line in stream:
        lines.append(line.rstrip("\n"))
