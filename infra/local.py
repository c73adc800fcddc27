"""The local target: `LocalModelServer`, a background server process as a Pulumi resource.

The provider starts `python -m devserver` in its own session, so that it outlives the deployment,
and records the process. After a crash or a reboot, `refresh` reports the resource as deleted, and
the next `up` starts the server again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlparse

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from infra.server_process import ServerOptions, ServerProcess, ServerStartError
from model_export.spec import MODEL_NAME

_INPUTS = (
    "modelUri",
    "modelName",
    "host",
    "restPort",
    "grpcPort",
    "queue",
    "requestTimeoutSeconds",
    "stateFolder",
)
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class LocalModelServerArgs:
    """What a local model server needs.

    `model_uri` is the `file://` folder with the numbered version; `state_folder` keeps the log and
    the process record.
    """

    model_uri: pulumi.Input[str]
    rest_port: int
    grpc_port: int
    queue: int
    request_timeout_seconds: int
    state_folder: str


class LocalModelServerProvider(ResourceProvider):
    """Starts, checks and stops the server. Has no fields, since it is pickled into the state."""

    serialize_as_secret_always = False

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        failures: list[CheckFailure] = []
        if news.get("restPort") == news.get("grpcPort"):
            failures.append(CheckFailure("grpcPort", "must differ from restPort"))
        uri = news.get("modelUri")
        if isinstance(uri, str) and urlparse(uri).scheme != "file":
            failures.append(CheckFailure("modelUri", f"must be a file:// folder, not {uri}"))
        return CheckResult(news, failures)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        changed = [key for key in _INPUTS if _olds.get(key) != _news.get(key)]
        moved = [key for key in changed if key == "stateFolder"]
        return DiffResult(changes=bool(changed), replaces=moved, delete_before_replace=True)

    def create(self, props: dict[str, Any]) -> CreateResult:
        outs = _started(props)
        return CreateResult(id_=f"{props['modelName']}@{props['stateFolder']}", outs=outs)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=_started(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        if not props or not _process(props).is_serving(_options(props)):
            return ReadResult("", {})
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        process = _process(_props)
        process.stop()
        process.remove_files()


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
                "host": _LOOPBACK,
                "restPort": args.rest_port,
                "grpcPort": args.grpc_port,
                "queue": args.queue,
                "requestTimeoutSeconds": args.request_timeout_seconds,
                "stateFolder": args.state_folder,
                "endpoint": None,
                "grpcEndpoint": None,
                "logFile": None,
                "pid": None,
            },
            opts,
        )


def _started(props: Mapping[str, Any]) -> dict[str, Any]:
    """Stop the recorded server, start one for `props`, and return the resource's outputs."""
    options, process = _options(props), _process(props)
    process.stop()
    try:
        pid = process.start(options, progress=_show)
    except ServerStartError as error:
        # For a RuntimeError, the embedded engine shows the message alone.
        raise RuntimeError(str(error)) from None
    return {
        **{key: props[key] for key in _INPUTS},
        "endpoint": f"http://{options.host}:{options.rest_port}",
        "grpcEndpoint": f"{options.host}:{options.grpc_port}",
        "logFile": str(process.log_file),
        "pid": pid,
    }


def _process(props: Mapping[str, Any]) -> ServerProcess:
    return ServerProcess(Path(str(props["stateFolder"])))


def _options(props: Mapping[str, Any]) -> ServerOptions:
    # The provider protocol sends numbers as floats.
    return ServerOptions(
        model_folder=Path(unquote(urlparse(cast(str, props["modelUri"])).path)),
        model_name=str(props["modelName"]),
        host=str(props["host"]),
        rest_port=int(props["restPort"]),
        grpc_port=int(props["grpcPort"]),
        queue=int(props["queue"]),
        request_timeout_seconds=int(props["requestTimeoutSeconds"]),
    )


def _show(line: str) -> None:
    print(line, flush=True)
