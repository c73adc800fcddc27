"""Runs the whole Pulumi program in this process, isolated, and records all registrations.

Every run gets its own context (Pulumi keeps its settings in context variables), event loop,
executor and freshly imported project packages, so that runs cannot affect each other. No CLI, no
engine, no cloud.
"""

from __future__ import annotations

import asyncio
import contextvars
import runpy
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pulumi
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.proto import resource_pb2

from engine.project.project_file import find_project, read_yaml
from engine.project.yaml_values import as_string, key_text
from render import placeholders

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "diffusion-serving"
FRESH_PACKAGES = ("infra", "serving", "model_export", "dashboards")


@dataclass(frozen=True)
class Registered:
    """One resource as the program registered it; numbers are floats, secrets unwrapped."""

    type: str
    name: str
    urn: str
    parent: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    """The inputs, and placeholders for what a provider adds."""
    secrets: frozenset[str]
    """The names of secret inputs."""
    custom: bool
    protect: bool
    provider: str
    dependencies: tuple[str, ...]
    property_dependencies: dict[str, tuple[str, ...]]
    ignore_changes: tuple[str, ...]
    delete_before_replace: bool
    replace_on_changes: tuple[str, ...]
    deleted_with: str
    retain_on_delete: bool
    custom_timeouts: dict[str, str]
    error_hooks: tuple[str, ...]


@dataclass
class Run:
    """The recorded run of a program."""

    resources: list[Registered] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: set[str] = field(default_factory=set)
    invoked: list[str] = field(default_factory=list)

    def of(self, type_: str) -> list[Registered]:
        """The resources of a type, which may be its last part only, such as `Deployment`."""
        return [r for r in self.resources if type_ in (r.type, r.type.rpartition(":")[2])]

    def one(self, type_: str, name: str | None = None) -> Registered:
        """The only resource of a type, or the one with that name."""
        found = [r for r in self.of(type_) if name in (None, r.name)]
        assert len(found) == 1, f"{type_}: {[r.name for r in found]}"
        return found[0]


def stack_config(stack: str) -> dict[str, str]:
    """A stack's config with the project's defaults, as the program gets it.

    Raises ConfigurationError where the stack's file cannot be read.
    """
    project = find_project(ROOT)
    values = {
        project.full_key(key): declared.default
        for key, declared in project.config.items()
        if declared.has_default
    }
    given: object = read_yaml(ROOT / f"Pulumi.{stack}.yaml").get("config")
    if isinstance(given, dict):
        own = cast("dict[object, object]", given)
        values |= {project.full_key(key_text(key)): value for key, value in own.items()}
    return {key: as_string(value) for key, value in values.items()}


def run_program(
    stack: str = "local",
    *,
    outputs: Mapping[str, Any] | None = None,
    fill_in: bool = True,
    first_preview: bool = False,
    **changes: str,
) -> Run:
    """Run `__main__.py` with a stack's config and some changed keys.

    outputs: what a provider would add to a resource's state, by resource type.
    fill_in: use placeholders for settings that the user must set.
    first_preview: nothing exists yet, so everything that a provider would add is unknown.
    """
    config = stack_config(stack) | {f"{PROJECT}:{key}": value for key, value in changes.items()}
    if fill_in:
        config |= placeholders.missing_settings(config, PROJECT)
    return record(_program, stack, config, outputs or {}, first_preview=first_preview)


def record(
    program: Callable[[], None],
    stack: str,
    config: dict[str, str],
    outputs: Mapping[str, Any],
    *,
    first_preview: bool = False,
) -> Run:
    """Run any program with this config."""
    run = Run()
    imported = _take_fresh_packages()
    try:
        mocked = _Mocks(outputs, run, first_preview)
        contextvars.Context().run(_run, run, config, stack, mocked, program)
    finally:
        # Restore the modules: importers keep their classes, which a second copy would not match.
        _take_fresh_packages()
        sys.modules.update(imported)
    return run


def _take_fresh_packages() -> dict[str, ModuleType]:
    """Remove the project's packages from sys.modules, so that they are imported again."""
    names = [n for n in sys.modules if n.split(".")[0] in FRESH_PACKAGES]
    return {name: sys.modules.pop(name) for name in names}


class _Mocks(mocks.Mocks):
    def __init__(self, outputs: Mapping[str, Any], run: Run, first_preview: bool) -> None:
        self._outputs = outputs
        self._run = run
        self.first_preview = first_preview

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        added = placeholders.outputs(args) | self._outputs.get(args.typ, {})
        if self.first_preview:
            return None, {**args.inputs, **dict.fromkeys(added, rpc.UNKNOWN)}
        return f"{args.name}-id", {**args.inputs, **added}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        self._run.invoked.append(args.token)
        return placeholders.invoked(args), []


class _Monitor(mocks.MockMonitor):
    def __init__(self, mocked: mocks.Mocks, run: Run) -> None:
        super().__init__(mocked)
        self._run = run

    def RegisterResource(self, request: Any) -> resource_pb2.RegisterResourceResponse:  # noqa: N802 - gRPC's name
        response = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            self._run.resources.append(_registered(request, response))
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        if request.urn.split("::")[2] == "pulumi:pulumi:Stack":
            found = rpc.deserialize_properties(request.outputs)
            self._run.secret_outputs = {k for k, v in found.items() if rpc.is_rpc_secret(v)}
            self._run.outputs = _plain(found)
        return super().RegisterResourceOutputs(request)


def _registered(request: Any, response: resource_pb2.RegisterResourceResponse) -> Registered:
    inputs = rpc.deserialize_properties(request.object)
    timeouts = request.customTimeouts
    return Registered(
        type=request.type,
        name=request.name,
        urn=response.urn,
        parent=request.parent,
        inputs=_plain(inputs),
        outputs=_plain(rpc.deserialize_properties(response.object)),
        secrets=frozenset(k for k, v in inputs.items() if rpc.is_rpc_secret(v)),
        custom=request.custom,
        protect=bool(request.protect),
        provider=request.provider,
        dependencies=tuple(request.dependencies),
        property_dependencies={k: tuple(v.urns) for k, v in request.propertyDependencies.items()},
        ignore_changes=tuple(request.ignoreChanges),
        delete_before_replace=bool(request.deleteBeforeReplace),
        replace_on_changes=tuple(request.replaceOnChanges),
        deleted_with=request.deletedWith,
        retain_on_delete=bool(request.retainOnDelete),
        custom_timeouts={
            key: getattr(timeouts, key)
            for key in ("create", "update", "delete")
            if getattr(timeouts, key)
        },
        error_hooks=tuple(request.hooks.on_error),
    )


def _run(
    run: Run, config: dict[str, str], stack: str, mocked: _Mocks, program: Callable[[], None]
) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    thread_loops: list[asyncio.AbstractEventLoop] = []

    def start_thread() -> None:
        thread_loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(thread_loops[-1])

    executor = ThreadPoolExecutor(max_workers=1, initializer=start_thread)
    loop.set_default_executor(executor)
    try:
        pulumi.runtime.set_all_config(config)
        # Without a root resource, set_mocks creates and finishes a stack of its own, and later
        # exports are lost. Hence the placeholder.
        settings.set_root_resource(object())  # pyright: ignore[reportArgumentType]
        pulumi.runtime.set_mocks(
            mocked,
            project=PROJECT,
            stack=stack,
            preview=mocked.first_preview,
            monitor=_Monitor(mocked, run),
        )
        settings.set_root_resource(None)  # pyright: ignore[reportArgumentType]
        # Which set_mocks leaves as the last run in this process left it, with its failed ones.
        settings.SETTINGS.outputs = set()  # pyright: ignore[reportAttributeAccessIssue]
        loop.run_until_complete(pulumi.runtime.run_in_stack(program))
    finally:
        _end_tasks(loop)
        executor.shutdown(wait=True)
        for one in (*thread_loops, loop):
            one.close()
        asyncio.set_event_loop(None)


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """End what a failed program left waiting, rather than leave it to the garbage collector."""
    while left := asyncio.all_tasks(loop):
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


def _program() -> None:
    from infra.local import ports

    # What a stack would create does not depend on what runs on this machine.
    ports.is_free = lambda host, port: True
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


def _plain(value: Any) -> Any:
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value
