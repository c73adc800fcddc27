"""`doctor`: runs the checks that one would make by hand, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from client.doctor.cluster import cluster_findings
from client.doctor.deployed import deployed
from client.doctor.finding import Finding, State
from client.doctor.last_update import last_update_findings
from client.doctor.local import MODEL_SERVER, WEB_SERVICE, local_findings
from client.doctor.service import cluster_service, service_finding
from client.errors import StackOutputError
from client.stacks.discovery import (
    PROJECT_ROOT,
    StackOutputs,
    for_stack,
    make_command,
    read_stack,
)
from client.stacks.engine import LOCAL_STACK
from client.stacks.state import LOCAL_SERVER, StackState, read_state
from prediction.endpoints import Protocol

__all__ = ["Finding", "State", "examine", "verdict"]

_STATE_FOLDER = ".state"


def examine(stack: str = LOCAL_STACK, root: Path = PROJECT_ROOT) -> Iterator[Finding]:
    """One finding after another, each as soon as it is known. Changes nothing."""
    for finding in _findings(stack, root):
        yield replace(finding, message=for_stack(finding.message, stack))


def verdict(findings: Iterable[Finding]) -> State:
    """The worst state of the findings: wrong, then unknown, then wait."""
    states = {finding.state for finding in findings}
    order = (State.WRONG, State.UNKNOWN, State.WAIT)
    return next((state for state in order if state in states), State.OK)


def _findings(stack: str, root: Path) -> Iterator[Finding]:
    outputs, problem = _outputs(stack, root)
    if stack == LOCAL_STACK or (outputs is not None and not outputs.kubeconfig_command):
        yield from _on_this_machine(stack, outputs, problem, root)
        return
    try:
        state = read_state(stack, root)
    except StackOutputError as error:
        if outputs is None:
            yield Finding("stack", State.WRONG, str(error))
            return
        yield Finding("stack", State.UNKNOWN, str(error))
        state = StackState()
    if outputs is None and state.of_type(LOCAL_SERVER):
        yield from _on_this_machine(stack, outputs, problem, root)
    elif outputs is None and state.is_empty:
        yield Finding("stack", State.WRONG, f"stack {stack} is empty: deploy it with `make up`")
    else:
        yield from _on_gke(stack, outputs, problem, state)


def _outputs(stack: str, root: Path) -> tuple[StackOutputs | None, str]:
    """The stack's outputs, or why there are none."""
    try:
        return read_stack(stack, root), ""
    except StackOutputError as error:
        return None, str(error)


def _on_this_machine(
    stack: str, outputs: StackOutputs | None, problem: str, root: Path
) -> Iterator[Finding]:
    state = root / _STATE_FOLDER
    if outputs is None:
        yield Finding("stack", State.WRONG, problem)
        for server in (MODEL_SERVER, WEB_SERVICE):
            if (state / server.folder).is_dir():  # the first `up` has come as far as this one
                yield from local_findings(server, "", state)
        return
    yield _serves(stack, outputs)
    yield from local_findings(MODEL_SERVER, outputs.endpoint_for(Protocol.REST), state)
    if outputs.page:
        yield from local_findings(WEB_SERVICE, outputs.endpoint, state)
    yield service_finding(
        outputs.endpoint, outputs.model_name, outputs.fingerprint, outputs.protocol
    )


def _on_gke(
    stack: str, outputs: StackOutputs | None, problem: str, state: StackState
) -> Iterator[Finding]:
    known = deployed(state, outputs)
    if outputs is not None:
        serves = _serves(stack, outputs)
        if known.fingerprint != outputs.fingerprint:
            made = f"an `up` that did not finish made model {known.fingerprint}"
            serves = Finding("stack", State.WRONG, f"{serves.message}; {made}: run `make up`")
        yield serves
    elif state.has_outputs:
        yield Finding("stack", State.UNKNOWN, problem)
    yield from last_update_findings(
        state, stack, known.project, has_outputs=outputs is not None or state.has_outputs
    )
    is_at_domain = True
    for finding in cluster_findings(known, make_command("up", stack)):
        is_at_domain &= finding.check != "domain" or finding.state is State.OK
        yield finding
    if is_at_domain:
        yield cluster_service(known)
    else:
        yield Finding("service", State.WAIT, f"nobody reaches {known.endpoint} before that is ok")


def _serves(stack: str, outputs: StackOutputs) -> Finding:
    return Finding("stack", State.OK, f"{stack} serves model {outputs.fingerprint or 'unknown'}")
