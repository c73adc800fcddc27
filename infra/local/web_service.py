"""`LocalWebService`, the web service in the background as a Pulumi resource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CheckFailure, CheckResult, Resource

from infra.local.program import WebServiceProgram
from infra.local.provider import LOOPBACK, ServerProvider
from infra.settings.stack import LocalSettings, ServerSettings
from model_export.spec import MODEL_NAME


@dataclass(frozen=True)
class LocalWebServiceArgs:
    """What a web service on this machine needs.

    `state_folder` keeps the log and the process record. Its model server is the one at the gRPC
    port; it may come and go, and serve another model.
    """

    ports: LocalSettings
    server: ServerSettings
    state_folder: str


class LocalWebServiceProvider(ServerProvider):
    """Starts, checks and stops `python -m web`."""

    __module__ = "infra.local"  # as in people's state files
    inputs = (
        "modelServer",
        "modelName",
        "host",
        "port",
        "metricsPort",
        "queue",
        "requestTimeoutSeconds",
        "stateFolder",
    )

    def program(self, props: Mapping[str, Any]) -> WebServiceProgram:
        return WebServiceProgram(
            model_server=str(props["modelServer"]),
            model_name=str(props["modelName"]),
            host=str(props["host"]),
            port=int(props["port"]),
            metrics_port=int(props["metricsPort"]),
            queue=int(props["queue"]),
            request_timeout_seconds=int(props["requestTimeoutSeconds"]),
        )

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        failures: list[CheckFailure] = []
        if news.get("port") == news.get("metricsPort"):
            failures.append(CheckFailure("metricsPort", "must differ from port"))
        return CheckResult(news, failures)


class LocalWebService(Resource, module="diffusion", name="LocalWebService"):
    """The web service on loopback of this machine, in front of its model server."""

    endpoint: pulumi.Output[str]
    """Base URL of its page and its APIs."""

    def __init__(
        self,
        resource_name: str,
        args: LocalWebServiceArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            LocalWebServiceProvider(),
            resource_name,
            {
                "modelServer": f"{LOOPBACK}:{args.ports.grpc_port}",
                "modelName": MODEL_NAME,
                "host": LOOPBACK,
                "port": args.ports.web_port,
                "metricsPort": args.ports.web_metrics_port,
                "queue": args.server.queue,
                "requestTimeoutSeconds": args.server.request_timeout_seconds,
                "stateFolder": args.state_folder,
                "endpoint": None,
                "logFile": None,
                "pid": None,
            },
            opts,
        )
