"""What the providers of background servers share: start, refresh, stop.

A server is started in its own session, so that it outlives the deployment, and recorded. After a
crash or a reboot, `refresh` reports its resource as deleted, and the next `up` starts it again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from console import say
from infra.local import state as local_state
from infra.local.program import Program
from infra.local.server_process import ServerProcess, ServerStartError
from infra.local.server_record import SERVER_NAMES
from infra.local.server_stop import ServerStopError
from model_export.checkout import STATE_FOLDER, lies_in_another_checkout

LOOPBACK = "127.0.0.1"


class ServerProvider(ResourceProvider, ABC):
    """Starts, checks and stops a server. Has no fields, since it is pickled into the state."""

    serialize_as_secret_always = False
    inputs: ClassVar[tuple[str, ...]]
    """Those of the resource, with `modelName` and `stateFolder`."""

    @abstractmethod
    def program(self, props: Mapping[str, Any]) -> Program:
        """What to run. The provider protocol sends the numbers in `props` as floats."""

    def outputs(self, program: Program) -> dict[str, Any]:
        """The outputs that tell where it is reached."""
        return {"endpoint": program.endpoint}

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        changed = [key for key in self.inputs if _olds.get(key) != _news.get(key)]
        moved = [key for key in changed if key == "stateFolder"]
        return DiffResult(changes=bool(changed), replaces=moved, delete_before_replace=True)

    def create(self, props: dict[str, Any]) -> CreateResult:
        outs = self._started(props)
        return CreateResult(id_=f"{props['modelName']}@{props['stateFolder']}", outs=outs)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=self._started(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        if props and _is_anothers(props):
            return ReadResult("", {})
        # Another PID than the state's is a server that a killed deployment began to start.
        pid = props.get("pid")
        recorded = int(pid) if isinstance(pid, int | float) else None
        if not props or not _process(props).is_serving(self.program(props), recorded):
            return ReadResult("", {})
        return ReadResult(id_, props)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        if _is_anothers(_props):
            name = SERVER_NAMES[self.program(_props).module]
            say(f"left alone: the {name} of another checkout, in {_props['stateFolder']}")
            return
        process = _process(_props)
        with _failures_in_one_line():
            process.stop()
        process.remove_files()

    def _started(self, props: Mapping[str, Any]) -> dict[str, Any]:
        """Stop the recorded server, start one for `props`, and return the resource's outputs."""
        program, process = self.program(props), _process(props)
        if Path(str(props["stateFolder"])).parent == STATE_FOLDER:
            local_state.take_over(STATE_FOLDER)
        with _failures_in_one_line():
            process.stop()
            pid = process.start(program, progress=say)
        return {
            **{key: props[key] for key in self.inputs},
            **self.outputs(program),
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
