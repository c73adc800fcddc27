"""The resource monitor: the gRPC services that a running program calls."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

from engine import urn as urns
from engine.deployment.goal import Goal, from_request, unsupported_in
from engine.deployment.steps import StepFailedError
from engine.errors import EngineError
from engine.processes.wire import CHANNEL_OPTIONS, from_struct, grpc, to_struct
from engine.values import PropertyMap, special_form_in

_GET_RESOURCE = "pulumi:pulumi:getResource"
_THREADS = 64  # more than the program's concurrent registrations
_SEVERITIES = {1: "info", 2: "warning", 3: "error"}
# The SDK logs this when the monitor answers UNAVAILABLE; the reason was already shown.
_MONITOR_GONE = "Resource monitor has terminated"

# All the SDK asks about, except what would change values on the wire. A program that uses an
# unsupported feature is then refused here, not by the SDK with advice to update the CLI.
_FEATURES = (
    "SECRETS",
    "RESOURCE_REFERENCES",
    "ALIAS_SPECS",
    "DELETED_WITH",
    "REPLACE_WITH",
    "REPLACEMENT_TRIGGER",
    "TRANSFORMS",
    "INVOKE_TRANSFORMS",
    "PARAMETERIZATION",
    "RESOURCE_HOOKS",
    "ERROR_HOOKS",
    "STATE_MIGRATIONS",
)


def _feature_id(name: str) -> str:
    """A feature's name in SupportsFeature: DELETED_WITH is deletedWith."""
    first, *rest = name.lower().split("_")
    return first + "".join(map(str.title, rest))


_FEATURE_IDS = {_feature_id(name) for name in _FEATURES}


@dataclass(frozen=True)
class Answer:
    """The answer to a registration."""

    urn: str
    id: str  # empty while unknown
    outputs: PropertyMap


class Registrar(Protocol):
    """Receives the program's registrations, one at a time."""

    def register(self, goal: Goal) -> Answer: ...

    def register_outputs(self, urn: str, outputs: PropertyMap) -> None: ...

    def state(self, urn: str) -> Answer | None:
        """A registered resource, with all its outputs."""
        ...


class Monitor(resource_pb2_grpc.ResourceMonitorServicer, engine_pb2_grpc.EngineServicer):
    """Serves one run of the program.

    After a failed step, a refusal or `stop`, every call gets UNAVAILABLE.
    """

    def __init__(
        self,
        registrar: Registrar,
        root: Path,
        log: Callable[[str, str, str], None],
        on_stopped: Callable[[], None],
    ) -> None:
        """log: called with severity, text and URN. on_stopped: called when a run is stopped."""
        self.unsupported = ""
        self.internal_error = ""
        self.error: EngineError | None = None  # for example, the state cannot be written
        self.error_shown = False  # whether the program logged an error
        self._registrar = registrar
        self._root = root
        self._log = log
        self._on_stopped = on_stopped
        self._stopped = False
        self._lock = threading.Lock()
        self._server: Any = None

    # -- starting and stopping --------------------------------------------------------------

    def start(self) -> str:
        """Serve on a free loopback port and return the address."""
        executor = futures.ThreadPoolExecutor(_THREADS)
        self._server = grpc.server(executor, options=CHANNEL_OPTIONS)
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(self, self._server)
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return f"127.0.0.1:{port}"

    def stop(self) -> None:
        """Let the current step finish, and accept no more."""
        self._stopped = True
        with self._lock:
            pass

    def close(self) -> None:
        self.stop()
        self._server.stop(None)

    def _unavailable(self, context: Any) -> Any:
        return context.abort(grpc.StatusCode.UNAVAILABLE, "the deployment has stopped")

    def _give_up(self) -> None:
        self._stopped = True
        self._on_stopped()

    def _refuse(self, context: Any, what: str) -> Any:
        self.unsupported = self.unsupported or what
        self._give_up()
        return self._unavailable(context)

    # -- registrations ----------------------------------------------------------------------

    def RegisterResource(self, request: Any, context: Any) -> Any:
        what = unsupported_in(request)
        if what:
            return self._refuse(context, what)
        with self._lock:
            if not self._stopped:
                try:
                    answer = self._registrar.register(from_request(request, self._root))
                    return resource_pb2.RegisterResourceResponse(
                        urn=answer.urn,
                        id=answer.id,
                        object=to_struct(answer.outputs, keep_secrets=True),
                    )
                except StepFailedError:
                    self._give_up()
                except EngineError as error:
                    self.error = error
                    self._give_up()
                except Exception:  # a bug in the engine must stop the run like a failed step
                    self.internal_error = traceback.format_exc()
                    self._give_up()
        return self._unavailable(context)

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:
        outputs = from_struct(request.outputs)
        form = special_form_in(outputs)
        if form:
            return self._refuse(context, f"{urns.name_of(request.urn)} has {form} as an output")
        with self._lock:
            # The stack's outputs are accepted even after a failure.
            if not self.unsupported:
                try:
                    self._registrar.register_outputs(request.urn, outputs)
                    return empty_pb2.Empty()
                except StepFailedError:
                    if not self._stopped:
                        self._give_up()
        return self._unavailable(context)

    def Invoke(self, request: Any, context: Any) -> Any:
        if request.tok != _GET_RESOURCE:
            return self._refuse(context, f"the program invokes {request.tok}")
        urn = str(from_struct(request.args).get("urn"))
        with self._lock:
            state = self._registrar.state(urn)
        if state is None:
            return context.abort(grpc.StatusCode.NOT_FOUND, f"unknown resource {urn}")
        result: PropertyMap = {"urn": urn, "id": state.id, "state": state.outputs}
        return resource_pb2.ResourceInvokeResponse(
            **{"return": to_struct(result, keep_secrets=True)}
        )

    # -- unsupported calls ------------------------------------------------------------------

    def ReadResource(self, request: Any, context: Any) -> Any:
        return self._refuse(context, f"the program reads {request.type} {request.name}")

    def ExistsResource(self, request: Any, context: Any) -> Any:
        return self._refuse(context, f"the program asks whether {request.type} exists")

    def Call(self, request: Any, context: Any) -> Any:
        return self._refuse(context, f"the program calls the method {request.tok}")

    def RegisterPackage(self, request: Any, context: Any) -> Any:
        return self._refuse(context, f"the program needs the provider plugin {request.name!r}")

    def RegisterStackTransform(self, request: Any, context: Any) -> Any:
        return self._refuse(context, "the program registers a transform")

    def RegisterStackInvokeTransform(self, request: Any, context: Any) -> Any:
        return self._refuse(context, "the program registers an invoke transform")

    def RegisterResourceHook(self, request: Any, context: Any) -> Any:
        return self._refuse(context, f"the program registers the hook {request.name!r}")

    def RegisterErrorHook(self, request: Any, context: Any) -> Any:
        return self._refuse(context, f"the program registers the error hook {request.name!r}")

    # -- other calls ------------------------------------------------------------------------

    def GetDeploymentInfo(self, request: Any, context: Any) -> Any:
        return resource_pb2.DeploymentInfo(
            supportedFeatures=[
                getattr(resource_pb2, f"RESOURCE_MONITOR_FEATURE_{name}") for name in _FEATURES
            ]
        )

    def SupportsFeature(self, request: Any, context: Any) -> Any:
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _FEATURE_IDS)

    def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:
        """Only hooks need the program to outlive its registrations, and they are refused."""
        return empty_pb2.Empty()

    def Log(self, request: Any, context: Any) -> Any:
        severity = _SEVERITIES.get(request.severity)
        is_echo = self._stopped and _MONITOR_GONE in request.message
        self.error_shown = self.error_shown or severity == "error"
        if severity and not request.ephemeral and not is_echo:
            self._log(severity, request.message, request.urn)
        return empty_pb2.Empty()

    def RequirePulumiVersion(self, request: Any, context: Any) -> Any:
        return engine_pb2.RequirePulumiVersionResponse()
