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
from engine.values import PropertyMap, PropertyValue, plain_map

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


def own_words(failure: str) -> str:
    """What there is to show of a provider's failure.

    `pulumi.dynamic` sends the traceback of whatever the provider raised. A RuntimeError is taken
    for a failure that the provider foresaw and put into words: these alone are shown.
    """
    _, foreseen, words = failure.rpartition("\nRuntimeError: ")
    if foreseen and failure.startswith("Traceback ") and "\nTraceback " not in words:
        return words.strip()
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
        """Start the process without waiting for it; it is configured at the first call."""
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
        """Use this config for all calls that follow.

        A provider object is configured once per process, so another config needs another process.
        """
        if self._config is not None and plain_map(config) != plain_map(self._config):
            self.close()
        if self._config is not None:
            return
        self.start()
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
        self._config = dict(config)

    @property
    def config(self) -> PropertyMap | None:
        """What the process is configured with, if it is."""
        return self._config

    def _connect(self) -> None:
        assert self._process is not None
        said: list[str] = []
        while True:
            line = self._process.read_line()
            if line.strip().isdigit():
                break
            if not line:
                raise ProviderError(
                    "the dynamic provider process ended at its start:\n" + "".join(said)
                )
            said.append(line)
        for line_said in said:
            self._show_output(line_said.rstrip("\n"))
        self._process.show_output(self._show_output)
        self._channel = grpc.insecure_channel(f"127.0.0.1:{line.strip()}", options=CHANNEL_OPTIONS)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE and self._process is not None:
                raise ProviderError(
                    f"the dynamic provider process ended in the middle of {method} "
                    f"(exit status {self._process.exit_status})"
                ) from None
            raise ProviderError(own_words(str(error.details()))) from None

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
        """The inputs to go on with, and (property, reason) of each that is refused."""
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
        """The id and outputs of what was created."""
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
        """The id (empty: it is gone), the outputs, and the inputs if the provider knows them."""
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
