"""The dynamic provider: the process that runs the project's resource provider classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, cast

from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from engine.errors import ProviderError
from engine.processes.child_process import ChildProcess
from engine.processes.wire import CHANNEL_OPTIONS, from_struct, grpc, to_struct
from engine.project.project_file import Project
from engine.state.snapshot import Resource
from engine.values import PropertyMap, PropertyValue, revealed_map

_REQUESTS: dict[str, Callable[..., Any]] = {
    "Check": provider_pb2.CheckRequest,
    "Diff": provider_pb2.DiffRequest,
    "Create": provider_pb2.CreateRequest,
    "Update": provider_pb2.UpdateRequest,
    "Delete": provider_pb2.DeleteRequest,
    "Read": provider_pb2.ReadRequest,
}
DIFF_UNKNOWN = provider_pb2.DiffResponse.DIFF_UNKNOWN
DIFF_SOME = provider_pb2.DiffResponse.DIFF_SOME


def failure_message(failure: str) -> str:
    """The text to show for a failed provider call.

    `pulumi.dynamic` sends the traceback of any exception. A RuntimeError is taken as an expected
    error with a message written for the user: only that message is shown.
    """
    _, is_expected, message = failure.rpartition("\nRuntimeError: ")
    if is_expected and failure.startswith("Traceback ") and "\nTraceback " not in message:
        return message.strip()
    return failure


class DynamicProvider:
    """One provider process for all dynamic resources of an operation, started when needed."""

    def __init__(self, project: Project, show_output: Callable[[str], None]) -> None:
        self._project = project
        self._show_output = show_output
        self._process: ChildProcess | None = None
        self._channel: Any = None
        self._stub: Any = None
        self._config: PropertyMap | None = None

    def start(self) -> None:
        """Start the process without waiting for it; `configure` connects to it."""
        if self._process is None:
            environment = {
                **os.environ,
                "PULUMI_PROJECT": self._project.name,
                "PULUMI_CONFIG": "{}",
            }
            self._process = ChildProcess(
                self._project.python, "provider", [], self._project.program_folder, environment
            )

    def configure(self, config: Mapping[str, PropertyValue]) -> None:
        """Use this config for all later calls.

        A provider is configured once per process, so a different config restarts the process.
        """
        if self._config is not None and revealed_map(config) != revealed_map(self._config):
            self.close()
        if self._config is not None:
            return
        self.start()
        try:
            self._connect()
            self._call(
                "Configure",
                provider_pb2.ConfigureRequest(
                    args=to_struct(config, keep_secrets=True),
                    acceptSecrets=True,
                    acceptResources=True,
                    sends_old_inputs=True,
                    sends_old_inputs_to_delete=True,
                ),
            )
        except ProviderError:
            self.close()  # a process announces its port only once
            raise
        self._config = dict(config)

    def _connect(self) -> None:
        assert self._process is not None
        early_output: list[str] = []
        while True:
            line = self._process.read_line()
            if line.strip().isdigit():
                break
            if not line:
                raise ProviderError(
                    "the dynamic provider process exited before it was ready:\n"
                    + "".join(early_output)
                )
            early_output.append(line)
        for early_line in early_output:
            self._show_output(early_line.rstrip("\n"))
        self._process.show_output(self._show_output)
        self._channel = grpc.insecure_channel(f"127.0.0.1:{line.strip()}", options=CHANNEL_OPTIONS)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE and self._process is not None:
                raise ProviderError(
                    f"the dynamic provider process exited during {method} "
                    f"(exit status {self._process.exit_status})"
                ) from None
            raise ProviderError(failure_message(str(error.details()))) from None

    def _call_for(self, method: str, resource: Resource, **arguments: Any) -> Any:
        fields = {
            key: to_struct(cast("PropertyMap", value)) if isinstance(value, dict) else value
            for key, value in arguments.items()
        }
        request = _REQUESTS[method](
            urn=resource.urn, name=resource.name, type=resource.type, **fields
        )
        return self._call(method, request)

    def check(
        self, resource: Resource, old_inputs: PropertyMap, inputs: PropertyMap
    ) -> tuple[PropertyMap, list[tuple[str, str]]]:
        """The checked inputs, and a (property, reason) for each invalid one."""
        response = self._call_for("Check", resource, olds=old_inputs, news=inputs)
        failures = [(failure.property, failure.reason) for failure in response.failures]
        return from_struct(response.inputs), failures

    def diff(self, old: Resource, resource: Resource, inputs: PropertyMap) -> Any:
        """Compare the old state with checked inputs: the provider's DiffResponse."""
        return self._call_for(
            "Diff",
            resource,
            id=old.id,
            olds=old.outputs,
            news=inputs,
            old_inputs=old.inputs,
            ignoreChanges=resource.ignore_changes,
        )

    def create(self, resource: Resource) -> tuple[str, PropertyMap]:
        """The ID and outputs of the new resource."""
        response = self._call_for(
            "Create",
            resource,
            properties=resource.inputs,
            timeout=resource.custom_timeouts.get("create", 0),
        )
        if not response.id:
            raise ProviderError("the provider's create returned no id")
        return response.id, from_struct(response.properties)

    def update(self, old: Resource, resource: Resource) -> PropertyMap:
        """The outputs after the update."""
        response = self._call_for(
            "Update",
            resource,
            id=old.id,
            olds=old.outputs,
            news=resource.inputs,
            old_inputs=old.inputs,
            ignoreChanges=resource.ignore_changes,
            timeout=resource.custom_timeouts.get("update", 0),
        )
        return from_struct(response.properties)

    def delete(self, resource: Resource) -> None:
        self._call_for(
            "Delete",
            resource,
            id=resource.id,
            properties=resource.outputs,
            old_inputs=resource.inputs,
            timeout=resource.custom_timeouts.get("delete", 0),
        )

    def read(self, resource: Resource) -> tuple[str, PropertyMap, PropertyMap | None]:
        """The ID (empty: deleted), the outputs, and the inputs if the provider returns them."""
        response = self._call_for(
            "Read", resource, id=resource.id, properties=resource.outputs, inputs=resource.inputs
        )
        inputs = from_struct(response.inputs) if response.HasField("inputs") else None
        return response.id, from_struct(response.properties), inputs

    def close(self) -> None:
        """End the process, if there is one."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.end()
        self._process = self._channel = self._stub = self._config = None
