"""`LocalModelServer`, a background server process as a Pulumi resource.

The provider starts `python -m devserver` in its own session, so that it outlives the deployment,
and records the process. After a crash or a reboot, `refresh` reports the resource as deleted, and
the next `up` starts the server again.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlparse

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

from console import say
from infra.local import ports
from infra.local import state as local_state
from infra.local.server_process import ServerOptions, ServerProcess, ServerStartError
from infra.local.server_record import running_server
from infra.local.server_stop import ServerStopError
from infra.settings.stack import LocalSettings, ServerSettings
from model_export.checkout import STATE_FOLDER, lies_in_another_checkout
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
    ports: LocalSettings
    server: ServerSettings
    state_folder: str


class LocalModelServerProvider(ResourceProvider):
    """Starts, checks and stops the server. Has no fields, since it is pickled into the state."""

    serialize_as_secret_always = False
    __module__ = "infra.local"  # as in people's state files

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
        if props and _is_anothers(props):
            return ReadResult("", {})
        # Another PID than the state's is a server that a killed deployment began to start.
        pid = props.get("pid")
        recorded = int(pid) if isinstance(pid, int | float) else None
        if not props or not _process(props).is_serving(_options(props), recorded):
            return ReadResult("", {})
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        if _is_anothers(_props):
            say(f"left alone: the server of another checkout, in {_props['stateFolder']}")
            return
        process = _process(_props)
        with _failures_in_one_line():
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


def require_free_ports(asked: LocalSettings, state_folder: Path) -> None:
    """End the program if another program has a port of the server that is to be started.

    It is checked here, since the server starts only after the export.
    """
    server = running_server(state_folder)
    if server is not None and not server.record.grpc_port:
        return  # a record of an earlier version does not tell all of its ports
    own = () if server is None else (server.record.rest_port, server.record.grpc_port)
    wanted = {"restPort": asked.rest_port, "grpcPort": asked.grpc_port}
    if problem := ports.problem(_LOOPBACK, wanted, own, pulumi.get_stack()):
        raise pulumi.RunError(problem)


def _started(props: Mapping[str, Any]) -> dict[str, Any]:
    """Stop the recorded server, start one for `props`, and return the resource's outputs."""
    options, process = _options(props), _process(props)
    if Path(str(props["stateFolder"])).parent == STATE_FOLDER:
        local_state.take_over(STATE_FOLDER)
    with _failures_in_one_line():
        process.stop()
        pid = process.start(options, progress=say)
    return {
        **{key: props[key] for key in _INPUTS},
        "endpoint": f"http://{options.host}:{options.rest_port}",
        "grpcEndpoint": f"{options.host}:{options.grpc_port}",
        "logFile": str(process.log_file),
        "pid": pid,
    }


@contextmanager
def _failures_in_one_line() -> Generator[None]:
    try:
        yield
    except (ServerStartError, ServerStopError) as error:
        # For a RuntimeError, the embedded engine shows the message alone.
        raise RuntimeError(str(error)) from None


def _is_anothers(props: Mapping[str, Any]) -> bool:
    """Whether the state is a copy of another checkout's, whose server this is."""
    return lies_in_another_checkout(Path(str(props["stateFolder"])))


def _process(props: Mapping[str, Any]) -> ServerProcess:
    return ServerProcess(Path(str(props["stateFolder"])))


def _options(props: Mapping[str, Any]) -> ServerOptions:
    # The provider protocol sends numbers as floats.
    return ServerOptions(
        model_folder=_folder(str(props["modelUri"])),
        model_name=str(props["modelName"]),
        host=str(props["host"]),
        rest_port=int(props["restPort"]),
        grpc_port=int(props["grpcPort"]),
        queue=int(props["queue"]),
        request_timeout_seconds=int(props["requestTimeoutSeconds"]),
    )


def _folder(url: str) -> Path:
    """The folder of a file:// URL, in the file system's encoding as `Path.as_uri` writes it."""
    return Path(os.fsdecode(unquote_to_bytes(urlparse(url).path)))
