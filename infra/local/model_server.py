"""`LocalModelServer`, the model server in the background as a Pulumi resource."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlparse

import pulumi
from pulumi.dynamic import CheckFailure, CheckResult, Resource

from infra.local.program import ModelServerProgram, Program
from infra.local.provider import LOOPBACK, ServerProvider
from infra.settings.stack import LocalSettings, ServerSettings
from model_export.spec import MODEL_NAME


@dataclass(frozen=True)
class LocalModelServerArgs:
    """What a local model server needs.

    `model_uri` is the `file://` folder with the numbered version; `state_folder` keeps the log and
    the process record.
    """

    model_uri: pulumi.Input[str]
    ports: LocalSettings
    server: ServerSettings
    state_folder: str


class LocalModelServerProvider(ServerProvider):
    """Starts, checks and stops `python -m devserver`."""

    __module__ = "infra.local"  # as in people's state files
    inputs = (
        "modelUri",
        "modelName",
        "host",
        "restPort",
        "grpcPort",
        "queue",
        "requestTimeoutSeconds",
        "stateFolder",
    )

    def program(self, props: Mapping[str, Any]) -> ModelServerProgram:
        return ModelServerProgram(
            model_folder=_folder(str(props["modelUri"])),
            model_name=str(props["modelName"]),
            host=str(props["host"]),
            rest_port=int(props["restPort"]),
            grpc_port=int(props["grpcPort"]),
            queue=int(props["queue"]),
            request_timeout_seconds=int(props["requestTimeoutSeconds"]),
        )

    def outputs(self, program: Program) -> dict[str, Any]:
        grpc_endpoint = f"{program.host}:{program.ports['grpcPort']}"
        return {**super().outputs(program), "grpcEndpoint": grpc_endpoint}

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        failures: list[CheckFailure] = []
        if news.get("restPort") == news.get("grpcPort"):
            failures.append(CheckFailure("grpcPort", "must differ from restPort"))
        uri = news.get("modelUri")
        if isinstance(uri, str) and urlparse(uri).scheme != "file":
            failures.append(CheckFailure("modelUri", f"must be a file:// folder, not {uri}"))
        return CheckResult(news, failures)


class LocalModelServer(Resource, module="diffusion", name="LocalModelServer"):
    """A model served on this machine, with TensorFlow Serving's REST and gRPC APIs on loopback."""

    endpoint: pulumi.Output[str]
    """Base URL of the REST API."""
    grpcEndpoint: pulumi.Output[str]  # noqa: N815 - a property name in people's state files
    """host:port of the gRPC API."""

    def __init__(
        self,
        resource_name: str,
        args: LocalModelServerArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            LocalModelServerProvider(),
            resource_name,
            {
                "modelUri": args.model_uri,
                "modelName": MODEL_NAME,
                "host": LOOPBACK,
                "restPort": args.ports.rest_port,
                "grpcPort": args.ports.grpc_port,
                "queue": args.server.queue,
                "requestTimeoutSeconds": args.server.request_timeout_seconds,
                "stateFolder": args.state_folder,
                "endpoint": None,
                "grpcEndpoint": None,
                "logFile": None,
                "pid": None,
            },
            opts,
        )


def _folder(url: str) -> Path:
    """The folder of a file:// URL, in the file system's encoding as `Path.as_uri` writes it."""
    return Path(os.fsdecode(unquote_to_bytes(urlparse(url).path)))
