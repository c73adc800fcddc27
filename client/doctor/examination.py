"""`doctor`: runs the checks that one would make by hand, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from client.api import Client
from client.doctor.cluster import cluster_findings
from client.doctor.finding import Finding, State
from client.doctor.local import local_findings
from client.errors import ClientError, ModelLoadingError, StackOutputError, one_line
from client.stacks.discovery import (
    LOCAL_STACK,
    PROJECT_ROOT,
    StackOutputs,
    for_stack,
    make_up_command,
    read_stack,
)
from client.transports.transport import not_ready

__all__ = ["Finding", "State", "examine", "verdict"]

_STATE_FOLDER = Path(".state") / "server"


def examine(stack: str = LOCAL_STACK, root: Path = PROJECT_ROOT) -> Iterator[Finding]:
    """One finding after another, each as soon as it is known. Changes nothing."""
    try:
        outputs = read_stack(stack, root)
    except StackOutputError as error:
        yield Finding("stack", State.WRONG, str(error))
        return
    yield Finding("stack", State.OK, f"{stack} serves model {outputs.fingerprint or 'unknown'}")
    if outputs.kubeconfig_command:
        yield from cluster_findings(outputs, make_up_command(stack))
    else:
        yield from local_findings(outputs.endpoint, root / _STATE_FOLDER)
    yield _service(outputs, stack)


def verdict(findings: Iterable[Finding]) -> State:
    """The worst state of the findings: wrong, then unknown, then wait."""
    states = {finding.state for finding in findings}
    order = (State.WRONG, State.UNKNOWN, State.WAIT)
    return next((state for state in order if state in states), State.OK)


def _service(outputs: StackOutputs, stack: str) -> Finding:
    """Whether the served model answers from here."""
    try:
        with Client(outputs.endpoint, model_name=outputs.model_name) as client:
            model = client.status()
            problem = not_ready(client.endpoint, client.model_name, model)
    except ClientError as error:
        problem = error
    if problem is None:
        return Finding("service", State.OK, f"{outputs.endpoint} serves {outputs.model_name}")
    hint = ""
    if outputs.kubeconfig_command and not isinstance(problem, ModelLoadingError):
        hint = "; if every other check is ok, allowedSourceRanges may not include your address"
    state = State.WAIT if isinstance(problem, ModelLoadingError) else State.WRONG
    return Finding("service", state, f"{one_line(for_stack(str(problem), stack))}{hint}")
